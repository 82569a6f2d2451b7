"""PyYAML's composer in Python, for installations without libyaml: the same results, more slowly."""

from __future__ import annotations

from typing import Any

from yaml.composer import Composer
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.scanner import Scanner


class SlowParser(Reader, Scanner, Parser, Composer):
    """The interface of ``yaml.cyaml.CParser``, as far as this package uses it."""

    def __init__(self, stream: Any) -> None:
        Reader.__init__(self, stream)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
