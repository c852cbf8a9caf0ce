"""The metadata of one model under llama.cpp's key names, with the checks that every foreign value needs."""

from __future__ import annotations

from collections.abc import Mapping

from rigtui.errors import RigtuiError
from rigtui.text import clean

MAX_LAYERS = 512  # LLAMA_MAX_LAYERS, llama.cpp 0.5.0-dev, src/llama-hparams.h
_MAX_VALUE = 1 << 31

Scalar = bool | int | float | str
Value = Scalar | tuple[Scalar, ...] | None


class Keys:
    """Reads values that are to be numbers, lists of numbers or lists of flags; raises RigtuiError where they are not."""

    def __init__(self, values: Mapping[str, Value], where: str) -> None:
        self._values = values
        self._where = where
        self.blocks = self.number("block_count")
        """Layers with MTP blocks: what every per-layer list is as long as."""
        if not 1 <= self.blocks <= MAX_LAYERS:
            raise self.bad(f"it claims {self.blocks:,} layers")
        self.mtp = self.number("nextn_predict_layers", 0)
        self.layers = self.blocks - self.mtp
        """Layers that are loaded."""
        if self.layers < 1:
            raise self.bad("it has no layers besides its multi-token-prediction blocks")
        self.embedding = self.number("embedding_length")
        all_heads = self.per_layer("attention.head_count", 0)
        self.heads = all_heads[: self.layers]
        self.kv_heads = self.per_layer("attention.head_count_kv", all_heads)[: self.layers]
        """As the header says; which of them have a cache is `LayerKinds.kv_heads`."""
        per_head = self.embedding // self.heads[0] if self.heads[0] else 0
        self.key_length = self.number("attention.key_length", per_head)
        self.value_length = self.number("attention.value_length", per_head)

    def bad(self, why: str) -> RigtuiError:
        """The error for a header that cannot be followed."""
        return RigtuiError(f"{self._where} cannot be used: {why}")

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def number(self, key: str, default: int | None = None) -> int:
        """A whole number that is not negative; required when there is no default."""
        if key not in self._values and default is not None:
            return default
        return self._checked(key, self._values.get(key))

    def per_layer(self, key: str, default: int | tuple[int, ...]) -> tuple[int, ...]:
        """One number per block, from a list or from one number for all."""
        value = self._values.get(key)
        if value is None:
            return default if isinstance(default, tuple) else (default,) * self.blocks
        if not isinstance(value, tuple):
            return (self._checked(key, value),) * self.blocks
        if len(value) < self.blocks:
            raise self.bad(f"{key} has {len(value)} entries for {self.blocks} layers")
        return tuple(self._checked(key, item) for item in value[: self.blocks])

    def largest(self, key: str, default: int) -> int:
        """A number, or the largest of a list with one per block."""
        return max(self.per_layer(key, default))

    def flag(self, key: str, *, default: bool) -> bool:
        """A yes or no; anything else counts as not said."""
        value = self._values.get(key)
        return value if isinstance(value, bool) else default

    def flags(self, key: str) -> tuple[bool, ...] | None:
        """One yes or no per block; None when there is no such list."""
        value = self._values.get(key)
        if not isinstance(value, tuple) or len(value) < self.blocks:
            return None
        return tuple(bool(item) for item in value[: self.blocks])

    def _checked(self, key: str, value: Value) -> int:
        if value is None:
            raise self.bad(f"its header does not say {key}")
        if not isinstance(value, int) or not 0 <= value < _MAX_VALUE:
            raise self.bad(f"{key} is {clean(str(value))[:40]}, which is no sensible number")
        return int(value)
