"""Contracts of what can be added: a rule, a loss, a sampler or a network of one's own is checked in two lines.

Each function raises AssertionError with what was expected, or returns nothing, so a test is one call:

>>> from luthier.optimise import RULES
>>> check_rule(RULES["adam"])
"""

from __future__ import annotations

from luthier.testing.loss_contract import check_loss
from luthier.testing.network_contract import check_network
from luthier.testing.rule_contract import check_rule
from luthier.testing.sampler_contract import check_sampler

__all__ = ["check_loss", "check_network", "check_rule", "check_sampler"]
