# A container that serves a model, as a user without rights. Build the wheel first (`make release`), then
#   docker build -t luthier . && docker run -p 8000:8000 -e LUTHIER_TOKEN -v ./runs/houses:/model:ro luthier
FROM python:3.11-slim
ARG TORCH=2.13.0
RUN pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu torch==${TORCH}
COPY dist/luthier-*.whl /tmp/
RUN pip install --no-cache-dir "$(echo /tmp/luthier-*.whl)[serve,onnx]" \
    && rm /tmp/luthier-*.whl \
    && useradd --system --uid 10001 --no-create-home luthier
ENV OMP_NUM_THREADS=1 LUTHIER_HOME=/tmp/luthier LUTHIER_CACHE=/tmp/luthier/cache
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as web; web.urlopen('http://127.0.0.1:8000/ready', timeout=4)"]
ENTRYPOINT ["luthier", "serve"]
CMD ["/model/model.luthier", "--host", "0.0.0.0", "--workers", "2", "--log", "json", "--watch"]
