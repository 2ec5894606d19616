"""The public names, each once: `__init__.py` loads them from here on first use, editors and type checkers read them."""

from luthier._version import __version__ as __version__
from luthier.diagnosis import Diagnosis as Diagnosis
from luthier.diagnosis import TrainingMonitor as TrainingMonitor
from luthier.diagnosis import diagnose as diagnose
from luthier.engine import find_lr as find_lr
from luthier.engine import train_networks
from luthier.errors import LuthierError as LuthierError
from luthier.estimators import LuthierClassifier as LuthierClassifier
from luthier.estimators import LuthierRegressor as LuthierRegressor
from luthier.nets import DenseSpec as DenseSpec
from luthier.nets import summary as summary
from luthier.objective import own_metric as own_metric
from luthier.optimise import Schedule as Schedule
from luthier.pretrained.sentence_modules import text_backbone as text_backbone
from luthier.pretrained.transfer import transfer as transfer
from luthier.request import FitConfig as FitConfig
from luthier.request import TuneConfig as TuneConfig
from luthier.runs import Comparison as Comparison
from luthier.runs import DataReport as DataReport
from luthier.runs import MultiTargetResult as MultiTargetResult
from luthier.runs import Result as Result
from luthier.runs import Study as Study
from luthier.runs import branch as branch
from luthier.runs import check_run, read_test
from luthier.runs import compare as compare
from luthier.runs import doctor as doctor
from luthier.runs import fit as fit
from luthier.runs import plan as plan
from luthier.runs import refit as refit
from luthier.runs import relocate as relocate
from luthier.runs import rerun as rerun
from luthier.runs import resume as resume
from luthier.runs import tune as tune
from luthier.runs import tune_table as tune_table
from luthier.saved import Model as Model
from luthier.saved import load as load
from luthier.search import Choice as Choice
from luthier.search import Number as Number
from luthier.search import Scale as Scale
from luthier.search import Space as Space

check = check_run
test = read_test
train = train_networks
