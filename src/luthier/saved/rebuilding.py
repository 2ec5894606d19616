"""A model's parts from the contents of its file, each compared with the others before anything of its size is made.

The file may come from a stranger: a network is only built where the tensors that are stored have its spec's shapes, and
what does not belong together is an InputError.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from luthier.assess import PREDICTION, Familiarity, Profile, RowIntervals, RowQuantiles
from luthier.assess.row_intervals import LEVELS
from luthier.data import (
    Encoder,
    FrozenEncoder,
    Prepare,
    Preprocess,
    Task,
    encoder_from_json,
    preprocess_from,
)
from luthier.data.encoder_checks import check_parser
from luthier.data.target_transform import TargetTransform
from luthier.errors import InputError
from luthier.nets import (
    BackboneSpec,
    ConvNet,
    ConvSpec,
    DenseNet,
    DenseSpec,
    Licence,
    MixedNet,
    MixedSpec,
    Net,
    Spec,
    TextBackboneNet,
    TextBackboneSpec,
    TextNet,
    TextSpec,
    build,
    spec_from_json,
)
from luthier.nets.picture_features import PictureFeatures
from luthier.saved.bundle import Bundle
from luthier.task import ClassAnswer, ResidualLaw, with_answer
from luthier.tensors import ShapesAlone

SCALARS = ("temperature", "half_width", "threshold", "set_threshold")
KINDS_OF_LABELS: Mapping[str, Any] = {"integer": int, "float": float, "text": str}


def parts_of(bundle: Bundle) -> dict[str, Any]:
    """What a `Model` is made of. InputError for parts that do not belong together."""
    facts = bundle.model
    task = Task.from_json(facts["task"])
    _check_task(task)
    encoder = _encoder(bundle)
    encoder.check(_require)
    prepare = _prepared(facts["preprocess"], encoder, bundle.weights)
    nets = tuple(
        _net(spec_from_json(value), _named(bundle.weights, f"nets.{i}."), task, encoder, prepare)
        for i, value in enumerate(facts["specs"])
    )
    _require(len(facts["weights"]) == len(nets), "as many weights as networks")
    _require(len({net.spec.outputs for net in nets}) == 1, "networks of as many outputs")
    _require(facts["lowest"] <= facts["highest"], "a lowest value below the highest")
    return {
        "task": task,
        "encoder": encoder,
        "preprocess": prepare,
        "nets": nets,
        "weights": tuple(facts["weights"]),
        "profile": _profile(bundle.profile, task, encoder),
        "metrics": bundle.metrics,
        **_answer(facts, task),
        "familiarity": _familiarity(bundle, encoder, prepare),
        "row_intervals": _row_intervals(bundle, task, encoder, prepare),
        "row_quantiles": _row_quantiles(bundle, task, encoder, prepare),
        "licences": tuple(Licence(**one) for one in facts.get("licences", ())),
        **{name: facts[name] for name in SCALARS if name in facts},
    }


def _encoder(bundle: Bundle) -> Encoder:
    """The encoder, what a frozen backbone sees attached to it where it needs that."""
    encoder = encoder_from_json(bundle.encoder)
    if not isinstance(encoder, FrozenEncoder):
        return encoder
    spec, stored = spec_from_json(bundle.encoder["backbone"]), _named(bundle.weights, "encoder.")
    assert isinstance(spec, BackboneSpec)  # by the schema
    _require(spec.inputs == encoder.shape, f"a backbone of pictures of {encoder.shape}", str(spec.inputs))
    named = {name: stored[name].shape for name in ("mean", "axes") if name in stored}
    _require(named == {"mean": (spec.width,), "axes": (spec.width, spec.outputs)}, "numbers of the backbone's pictures")
    features = PictureFeatures.of(spec)
    _fill(features, stored)
    return replace(encoder, features=features.requires_grad_(False).eval())


def _answer(facts: Mapping[str, Any], task: Task) -> dict[str, Any]:
    """How outputs become answers: the way back of numbers, the decision between several classes."""
    transform = TargetTransform(
        facts["target_mean"],
        facts["target_std"],
        task.log_scale,
        facts["smear"],
        facts["lowest"],
        facts["highest"],
        kind=task.traits,
        dispersion=facts.get("dispersion"),
    )
    _require(transform.dispersion is None or task.traits.law is not None, "a dispersion of a kind that has a law only")
    result: dict[str, Any] = {"transform": transform}
    if "residuals" in facts:
        _require(not task.is_classes, "residuals of a model of numbers only")
        answer, law = facts.get("answer", "mean"), _residual_law(facts)
        transform = with_answer(transform, law, answer)
        _require(bool(np.isfinite(transform.shifts).all()), "residuals whose answers are numbers")
        result = {"transform": transform, "answer": answer, "residuals": law}
    if "decision" in facts:
        count = len(task.classes)
        _require(task.family == "multiclass", "a decision between several classes only")
        matrix, offset = (facts["decision"][name] for name in ("matrix", "offset"))
        square = len(matrix) == len(offset) == count and all(len(row) == count for row in matrix)
        _require(square, "a decision between as many classes as the task has")
        result["decision"] = ClassAnswer(np.array(matrix, dtype=float), np.array(offset, dtype=float))
    thresholds = tuple(facts.get("label_thresholds", ()))
    _require(len(thresholds) == len(task.classes) * task.traits.is_labels, "a threshold for each label")
    return {**result, "label_thresholds": thresholds}


def _residual_law(facts: Mapping[str, Any]) -> ResidualLaw:
    """Residuals of all rows, or one row of them for each place."""
    places = tuple(facts.get("residual_places", (0.0,)))
    count, rest = divmod(len(facts["residuals"]), len(places))
    _require(count > 0 and not rest, "as many residuals for each of their places")
    _require(all(low < high for low, high in pairwise(places)), "places of residuals that rise")
    rows = (facts["residuals"][k * count : (k + 1) * count] for k in range(len(places)))
    return ResidualLaw(tuple(tuple(row) for row in rows), places)


class MismatchError(InputError):
    """Parts that do not belong together."""


def _require(holds: bool, expected: str, received: str = "") -> None:
    if not holds:
        raise MismatchError("its parts do not belong together", expected=expected, received=received)


def _check_task(task: Task) -> None:
    fewest, most = {"regression": (0, 0), "binary": (2, 2), "multiclass": (2, 1_000_000), "labels": (2, 1000)}[
        task.family
    ]
    _require(fewest <= len(task.classes) <= most, f"classes of a {task.kind} task", f"{len(task.classes)} classes")
    _require(task.positive in ("", *task.classes), "a positive class that is one of the classes", task.positive)
    _require(bool(task.separator) == task.traits.is_labels, "a separator of labels only")
    _require(not task.log_scale or task.kind == "regression", "a log scale in a regression only")
    check_parser(task.cells, _require)
    if task.is_classes:
        try:
            labels = [KINDS_OF_LABELS.get(task.label_kind, str)(name) for name in task.classes]
            fits = task.label_kind != "integer" or all(abs(label) < 2**63 for label in labels)
        except ValueError:
            fits = False
        _require(fits, f"classes that are written as {task.label_kind}s")


def _prepared(config: Mapping[str, Any], encoder: Encoder, weights: Mapping[str, Tensor]) -> Prepare:
    encoder.check_preprocess(config, _require)
    with ShapesAlone(), torch.device("meta"):
        result = preprocess_from(config)
    _fill(result, _named(weights, "preprocess."), unbounded=("lowest", "highest"))
    if isinstance(result, Preprocess):
        inside = bool(((result.flags >= 0) & (result.flags < result.columns)).all())
        _require(inside and bool((result.scale > 0).all()), "flags of its columns, and scales above 0")
        _require(bool((result.lowest <= result.highest).all()), "lowest values below the highest")
        _require(bool((result.edges[:, 1:] >= result.edges[:, :-1]).all()), "edges in their order")
    return result


def _net(spec: Spec, stored: Mapping[str, Tensor], task: Task, encoder: Encoder, prepare: Prepare) -> Net:
    """A network of the stored tensors; nothing is allocated before their shapes are known to be the spec's."""
    known = {task.outputs, *([len(task.classes)] if task.traits.is_ordered else [])}
    _require(spec.outputs in known, f"networks of {task.outputs} outputs", str(spec.outputs))
    numbers = prepare.width - encoder.vector_width
    if isinstance(spec, DenseSpec):
        return _dense_net(spec, stored, encoder, numbers)
    if isinstance(spec, TextSpec):
        _check_levels(spec, encoder)
        texts = [(words.pieces, words.length, len(words.pairs)) for words in encoder.texts]
        pieces, length, pairs = (texts or [(0, 0, 0)])[0]
        _require((spec.pieces, spec.length) == (pieces, length), "a network of the encoder's words")
        _require(spec.pairs in (0, pairs) and spec.numbers == numbers, "its pairs and numbers")
        shape = encoder.shape if encoder.medium == "mixed rows" else ()
        _require(
            (spec.picture.inputs if isinstance(spec, MixedSpec) else ()) == shape, f"a network of pictures of {shape}"
        )
        _require(spec.vectors == encoder.vector_width, f"a network of vectors of {encoder.vector_width} numbers")
        with ShapesAlone(), torch.device("meta"):
            net: Net = MixedNet(spec) if isinstance(spec, MixedSpec) else TextNet(spec)
    elif isinstance(spec, TextBackboneSpec):
        net = _text_backbone(spec, encoder)
    else:
        _require(
            encoder.medium == "pictures" and spec.inputs == encoder.shape,
            f"a network of pictures of {encoder.shape}",
            str(spec.inputs),
        )
        net = _picture_net(spec, stored)
    _fill(net, stored)
    return net.eval()


def _text_backbone(spec: TextBackboneSpec, encoder: Encoder) -> Net:
    """Of the encoder's pieces; nothing is allocated."""
    sizes, texts = spec.sizes, encoder.texts
    alone = encoder.medium == "text" and len(encoder.columns) == len(texts[0].names)
    _require(alone and not encoder.vectors, "a network of text alone")
    _require(texts[0].length == spec.length, f"a network of {texts[0].length} pieces", str(spec.length))
    ids = max(texts[0].pieces - 1, *spec.marks)
    _require(ids < sizes.tokens and spec.length + len(spec.marks) <= sizes.longest, "pieces that it has")
    _require(sizes.width % sizes.heads == 0, f"a width that {sizes.heads} heads share", str(sizes.width))
    blocks = {"embeddings", *(f"layers.{k}" for k in range(sizes.layers))}
    whole = not spec.cut or (spec.cut in blocks and spec.width == sizes.width)
    _require(whole, "a block of its own that it ends at", spec.cut)
    with ShapesAlone(), torch.device("meta"):
        return TextBackboneNet(spec)


def _dense_net(spec: DenseSpec, stored: Mapping[str, Tensor], encoder: Encoder, inputs: int) -> DenseNet:
    _check_levels(spec, encoder)
    _require(encoder.dense, "a dense network of a table without text")
    _require(spec.inputs == inputs, f"a network of {inputs} inputs", str(spec.inputs))
    _require(len(spec.embeddings) + len(spec.hidden) < 2 * len(stored), "as many layers as are stored")
    if (means := spec.target_encoding) is not None:
        _require(max(means.columns) < len(spec.embeddings), "means of the target by the encoder's categories")
    _compare({name: (*spec.shapes()[name],) for name in spec.shapes()} | spec.buffer_shapes(), stored)
    _require(all(value.dtype == torch.float32 for value in stored.values()), "weights of float32")
    net = DenseNet(spec, {name: stored[name] for name in spec.shapes()})
    _fill(net, stored)
    return net.eval()


def _check_levels(spec: DenseSpec | TextSpec, encoder: Encoder) -> None:
    levels = tuple(levels for levels, _ in spec.embeddings)
    _require(levels == encoder.category_sizes, "embeddings of the encoder's categories")


def _row_intervals(bundle: Bundle, task: Task, encoder: Encoder, prepare: Prepare) -> RowIntervals | None:
    facts = bundle.model.get("row_intervals")
    if facts is None:
        return None
    _require(not task.is_classes, "intervals of each row in a regression only")
    spec = spec_from_json(facts["spec"])
    assert isinstance(spec, DenseSpec)  # by the schema
    _require(spec.outputs == len(LEVELS), f"a network of {len(LEVELS)} ends", str(spec.outputs))
    stored = _named(bundle.weights, "row_intervals.")  # a prediction is the last of its inputs
    return RowIntervals(_dense_net(spec, stored, encoder, prepare.width + 1), facts["scale"], facts["correction"])


def _row_quantiles(bundle: Bundle, task: Task, encoder: Encoder, prepare: Prepare) -> RowQuantiles | None:
    facts = bundle.model.get("row_quantiles")
    if facts is None:
        return None
    _require(not task.is_classes, "quantiles of each row in a regression only")
    levels, offsets = tuple(facts["levels"]), tuple(facts["offsets"])
    _require(levels == tuple(sorted(set(levels))), "levels of quantiles that rise")
    _require(len(offsets) == len(levels), "as many offsets as quantiles")
    if "spec" not in facts:
        return RowQuantiles(levels, offsets, facts["scale"])
    spec = spec_from_json(facts["spec"])
    assert isinstance(spec, DenseSpec)  # by the schema
    _require(spec.outputs == len(levels), f"a network of {len(levels)} quantiles", str(spec.outputs))
    stored = _named(bundle.weights, "row_quantiles.")  # a prediction is the last of its inputs
    net = _dense_net(spec, stored, encoder, prepare.width + 1)
    return RowQuantiles(levels, offsets, facts["scale"], net)


def _picture_net(spec: ConvSpec | BackboneSpec, stored: Mapping[str, Tensor]) -> Net:
    if isinstance(spec, ConvSpec):
        with ShapesAlone(), torch.device("meta"):
            return ConvNet(spec)
    if spec.cut:  # the rest is as large as the backbone, which is ours or the user's
        head = stored.get("net.head.weight")
        _require(head is not None and head.shape == (spec.outputs, spec.width), "a head of the backbone's width")
    return build(spec, seed=0)


def _fill(module: nn.Module, stored: Mapping[str, Tensor], unbounded: Iterable[str] = ()) -> None:
    """Give a module the stored tensors as its own. InputError for others than it has, and for NaN or infinity."""
    expected = module.state_dict()
    _compare({name: value.shape for name, value in expected.items()}, stored)
    for name, value in stored.items():
        _require(value.dtype == expected[name].dtype, f"{name} of {expected[name].dtype}", str(value.dtype))
        if value.is_floating_point():
            fine = ~value.isnan() if name in unbounded else value.isfinite()
            _require(bool(fine.all()), f"finite numbers in {name}", "NaN or infinity")
    module.load_state_dict(dict(stored), assign=True)


def _compare(expected: Mapping[str, Iterable[int]], stored: Mapping[str, Tensor]) -> None:
    for name in {*expected, *stored}:
        asked = str(tuple(expected[name])) if name in expected else "no such tensor"
        given = str(tuple(stored[name].shape)) if name in stored else "no such tensor"
        _require(asked == given, f"{name[:100]}: {asked}", given)


def _profile(value: Mapping[str, Any], task: Task, encoder: Encoder) -> Profile | None:
    if not value:
        return None
    profile = Profile.from_json(value)
    numbers, codes = encoder.described(encoder.blank())
    sizes = dict(zip(encoder.category_names, encoder.category_sizes, strict=True))
    if task.classes:
        sizes[PREDICTION] = len(task.classes) + task.traits.is_labels  # where it has none
    predicted = {PREDICTION} & {*profile.numbers, *profile.codes}  # a profile may be of the columns alone
    described = {*numbers, *(set() if task.classes else predicted)}
    _require(set(profile.numbers) == described == set(profile.missing), "a profile of the encoder's numbers")
    wanted = set(sizes) - ({PREDICTION} - predicted)
    _require(set(profile.codes) == wanted >= set(codes), "a profile of the encoder's categories")
    _require(all(len(profile.codes[name]) == sizes[name] for name in wanted), "a count of each level")
    _require(all(sum(counts) for counts in profile.codes.values()), "counts that are not all 0")
    _require(all(values == sorted(values) for values in profile.numbers.values()), "quantiles in their order")
    return profile


def _familiarity(bundle: Bundle, encoder: Encoder, prepare: Prepare) -> Familiarity | None:
    stored = _named(bundle.weights, "familiarity.")
    if "familiar_within" not in bundle.model:
        return None
    _require(set(stored) == {"mean", "whitening"}, "the tensors of familiarity", ", ".join(stored)[:100])
    mean, whitening = (stored[name].numpy() for name in ("mean", "whitening"))
    with torch.no_grad():
        width = prepare.plain(encoder.blank()).shape[1]
    fits = mean.shape == (width,) and whitening.ndim == 2 and whitening.shape[0] == width
    _require(fits, f"familiarity of {width} features", f"{mean.shape} and {whitening.shape}")
    known = all(part.dtype == np.float64 and np.isfinite(part).all() for part in (mean, whitening))
    _require(known, "finite numbers in familiarity")
    return Familiarity(mean, whitening, bundle.model["familiar_within"])


def _named(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
