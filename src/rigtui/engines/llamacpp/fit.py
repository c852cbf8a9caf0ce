"""What llama.cpp's `--fit` decides: context, layers per device and what overflows. Pure.

Follows common/fit.cpp of llama.cpp 0.5.0-dev in its effect: (1) keep the defaults if every target is met, (2) reduce an unset
context, (3) fill from the last device to the first, experts in RAM, (4) turn such layers into whole ones from the first device on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from msgspec import Struct
from msgspec.structs import replace

from rigtui.engines.llamacpp.false_position import last_below
from rigtui.engines.llamacpp.footprint import Footprint, Needs, buffer_bounds, footprint, held, needs, projected
from rigtui.engines.llamacpp.kv import has_state, recurrent_bytes
from rigtui.engines.llamacpp.placement import HOST, Placement, split_home
from rigtui.engines.llamacpp.settings import Device, Settings
from rigtui.engines.llamacpp.weights import Part, WeightTable
from rigtui.models.model import Model
from rigtui.text import MIB


class Fill(Struct, frozen=True):
    """How much one device is given."""

    layers: int = 0
    """Whole and partial ones; on the last device the output head counts as one."""
    partial: int = 0
    first_part: Part = Part.EXPERTS
    """What stays of the first partial layer; of the others everything but the experts does."""
    overflow: int = HOST
    """Where the rest of the first partial layer goes."""


class Fitted(Struct, frozen=True):
    """What the server loads with."""

    context: int
    ngl: int
    """-1: all layers, split by free memory."""
    tensor_split: tuple[int, ...] | None
    fills: tuple[Fill, ...] | None
    placement: Placement
    footprint: Footprint
    """As it is allocated."""
    status: str
    """`ok`, `failed` or `off`; `endless` where the engine counts below zero and ends, after minutes, nowhere in particular."""
    message: str | None = None


def refill(model: Model, table: WeightTable, devices: Sequence[Device], settings: Settings) -> Fitted:
    """What `--fit` would fill if the default split met no target: from the last device to the first, each to its target."""
    return _Fit(model, table, devices, settings).refilled()


def fit(model: Model, table: WeightTable, devices: Sequence[Device], settings: Settings) -> Fitted:
    """Decide as llama.cpp would for `model` on `devices`, in this order."""
    return _Fit(model, table, devices, settings).run()


def fit_whole(model: Model, table: WeightTable, devices: Sequence[Device], settings: Settings) -> Fitted | None:
    """The same, or None as soon as it is clear that something would lie in RAM, which is far cheaper to tell."""
    try:
        return _Fit(model, table, devices, settings, whole=True).run()
    except _SpillsError:
        return None


def met_targets(model: Model, table: WeightTable, devices: Sequence[Device], settings: Settings) -> tuple[int, ...]:
    """The targets of `settings`, MiB per device, lowered where the default placement, measured on paper, would miss them."""
    return _Fit(model, table, devices, settings).lowered()


class _SpillsError(Exception):
    """Not everything lies on GPUs."""


class _GivesUpError(Exception):
    """Fit stops and the server goes on with what the user wrote."""


class _EndlessError(Exception):
    """A mixture lies whole on devices before the last but one, and its head with it.

    For every device in between common/fit.cpp of llama.cpp 0.5.0-dev then takes one layer from the none of the last, which makes 2³²-1.
    """


class _Fit:
    def __init__(self, model: Model, table: WeightTable, devices: Sequence[Device], settings: Settings, *, whole: bool = False) -> None:
        self.whole = whole
        """Nothing may lie in RAM: with the first sign that something does, `_SpillsError` is raised."""
        self.model = model
        self.table = table
        self.devices = devices
        self.settings = settings
        self.count = len(devices)
        self.streams = 1 if settings.unified_kv else settings.slots
        trained = model.context_trained * (self.streams if settings.fit else 1)
        self.context = settings.context if settings.context is not None else trained
        self.margins = [settings.target_mib(i) * MIB for i in range(max(self.count, 1))]
        self.slots = model.layers + 1
        sparse = [layer.moved[Part.EXPERTS].gpu > 0 for layer in table.layers]
        self.takes_turns = sum(one != after for one, after in pairwise(sparse)) > 1
        """Blocks with experts and blocks without do, so that one more may take less: the pattern of what is moved is shifted by one."""
        self.measured: dict[int, Needs] = {}
        self.targets = [d.free_bytes - m - s for d, m, s in zip(devices, self.margins, self._states(), strict=False)]

    def _states(self) -> list[int]:
        """Recurrent state per device: a measurement really allocates it, and what is free is read while it is there."""
        state = recurrent_bytes(self.model, self.settings.slots) if self.settings.kv_offload else 0
        home = self.default_placement().home[: self.model.layers]
        return [
            sum(state for layer, where in enumerate(home) if where == device and has_state(self.model, layer)) if state else 0
            for device in range(self.count)
        ]

    def run(self) -> Fitted:
        return self._ended(self._decide) if self.settings.fit else self._result(None, "off")

    def refilled(self) -> Fitted:
        return self._ended(self._fill)

    def _ended(self, decide: Callable[[], tuple[Fill, ...] | None]) -> Fitted:
        try:
            return self._result(decide(), "ok")
        except _GivesUpError as gives_up:
            return self._result(None, "failed", str(gives_up))
        except _EndlessError:
            return self._result(None, "endless", "it counts layers below zero, searches for minutes and divides at random")

    def lowered(self) -> tuple[int, ...]:
        measured = self.measure(self.default_placement())
        over = [min(target - measured[device], 0) // MIB for device, target in enumerate(self.targets)]
        return tuple(max(self.settings.target_mib(device) + size, 0) for device, size in enumerate(over))

    def need(self) -> Needs:
        if self.context not in self.measured:
            self.measured[self.context] = needs(self.model, self.table, self.settings, self.context)
        return self.measured[self.context]

    def default_placement(self) -> Placement:
        blocks = self.table.blocks
        ngl = blocks + 1 if self.settings.ngl is None or self.settings.ngl < 0 else self.settings.ngl
        if self.settings.split_mode == "none" or self.count == 1:
            weights: Sequence[float] = [1.0] + [0.0] * (self.count - 1) if self.count else []
        else:
            # Shares beyond the devices say nothing; if none is left the free memory decides.
            shares = (self.settings.tensor_split or ())[: self.count]
            weights = shares if any(shares) else [float(d.free_bytes) for d in self.devices]
        first = enumerate(self.table.layers[: self.settings.experts_in_ram])
        sparse = [block for block, layer in first if layer.moved[Part.EXPERTS].gpu]
        return Placement(split_home(blocks, ngl, weights), dict.fromkeys(sparse, (Part.EXPERTS, HOST)))

    def _result(self, fills: tuple[Fill, ...] | None, status: str, message: str | None = None) -> Fitted:
        placement = self.default_placement() if fills is None else self.placed(fills)
        unchanged = -1 if self.settings.ngl is None else self.settings.ngl
        return Fitted(
            context=self.context,
            ngl=unchanged if fills is None else sum(f.layers for f in fills),
            tensor_split=tuple(f.layers for f in fills) if fills and self.count > 1 else None,
            fills=fills,
            placement=placement,
            footprint=footprint(self.need(), placement, self.count),
            status=status,
            message=message,
        )

    def measure(self, placement: Placement, *asked: int) -> dict[int, int]:
        """Bytes on the devices `asked` for; on all when none is."""
        uses = projected(self.need(), placement, self.count, asked or range(self.count))
        return {index: total + (self.devices[index].beside_bytes if total else 0) for index, total in uses.items()}

    def least(self, placement: Placement, device: int) -> int:
        """A lower bound of what is measured on one device, which costs next to nothing."""
        size, beside = held(self.need(), placement, device), self.devices[device].beside_bytes
        return size + (beside if size or beside < 0 else 0)

    def within(self, placement: Placement, device: int, most: int) -> bool:
        """Whether what is measured on one device is at most `most`; a graph is drawn only where bounds do not tell."""
        held_here = self.least(placement, device)
        if held_here > most:
            return False
        low, high = buffer_bounds(self.need(), placement, self.count, device)
        if held_here + low > most:
            return False
        return (high is not None and held_here > 0 and held_here + high <= most) or self.measure(placement, device)[device] <= most

    def meets(self, placement: Placement, asked: Iterable[int], slack: int = 0) -> bool:
        """Whether `placement` leaves `slack` of its target on each device `asked` for."""
        asked = tuple(asked)
        most = [self.targets[device] - slack for device in range(self.count)]
        return all(self.least(placement, device) <= most[device] for device in asked) and all(
            self.within(placement, device, most[device]) for device in asked
        )

    def placed(self, fills: Sequence[Fill]) -> Placement:
        """The placement of `-ngl`, `-ts` and `-ot` as fit writes them."""
        ngl = sum(f.layers for f in fills)
        # Whole numbers of layers as shares give just these numbers, even in 32-bit arithmetic.
        home = (HOST,) * (self.table.blocks + 1 - ngl)
        for device, fill in enumerate(fills):
            home += (device,) * fill.layers
        moved: dict[int, tuple[Part, int]] = {}
        block = self.slots - ngl
        for fill in fills:
            # On the last device the head counts as a whole layer, which shifts the pattern by one; the last may name no block at all.
            block += fill.layers - fill.partial
            for index in range(block, block + fill.partial):
                first = index == block
                moved[index] = (fill.first_part, fill.overflow) if first else (Part.EXPERTS, HOST)
            block += fill.partial
        return Placement(home, moved)

    def _decide(self) -> tuple[Fill, ...] | None:
        if not self.count:
            # Only the total of the host's memory is looked at, and rigtui judges RAM itself: nothing to move.
            return None
        if self.meets(self.default_placement(), range(self.count)):
            return None
        if self.settings.context is None:
            used = sum(self.measure(self.default_placement()).values())
            if used > sum(self.targets) and self._reduce_context(used):
                return None
        self._guard()
        return self._fill()

    def _reduce_context(self, used: int) -> bool:
        """Step 2; True when nothing else has to change."""
        least = self.settings.fit_context_least * self.streams
        most = self.context
        if most <= least:
            return False
        default = self.default_placement()
        target = sum(self.targets)
        if self.count > 1:
            weights = sum(use.weights for use in footprint(self.need(), default, self.count).devices)
            target -= (self.count + 1) * (weights // self.model.layers) // (6 if self.model.experts else 2)
        self.context = least
        used_least = sum(self.measure(default).values())
        if target <= used_least or used <= used_least:
            return False
        context = least + (most - least) * (target - used_least) // (used - used_least)
        self.context = max(context - context % (256 * self.streams), least)
        return self.count == 1

    def _guard(self) -> None:
        if self.settings.ngl is not None and self.settings.ngl != -1:
            raise _GivesUpError(f"n_gpu_layers already set by user to {self.settings.ngl}, abort")
        if self.count > 1 and self.settings.tensor_split is not None and any(self.settings.tensor_split):
            raise _GivesUpError("model_params::tensor_split already set by user, abort")
        if self.table.overrides or self.settings.experts_in_ram:
            raise _GivesUpError("model_params::tensor_buft_overrides already set by user, abort")

    def _fill(self) -> tuple[Fill, ...]:
        fills = [Fill() for _ in self.devices]
        sparse = self.model.experts is not None
        for device in reversed(range(self.count)):
            fills = self._most_layers(fills, device, sparse)
            # The experts of these layers may yet lie on any device.
            self._may_go_on(fills, range(self.count if sparse else device))
        if not sparse or not self._dense_parts_fit():
            self._may_go_on(fills, ())
            return tuple(fills)
        return tuple(self._whole_layers(fills))

    def _may_go_on(self, fills: Sequence[Fill], later: Iterable[int]) -> None:
        """Raise _SpillsError where nothing may lie in RAM and what does as yet cannot lie on the devices that come later."""
        if not self.whole:
            return
        layers, placement = self.table.layers, self.placed(fills)
        homeless = sum(layer.whole.gpu for layer, home in zip(layers, placement.home, strict=False) if home == HOST)
        for index, (part, where) in placement.moved.items():
            if where == HOST and index < len(layers):
                homeless += layers[index].moved[part].gpu
        if homeless > sum(max(self.targets[device] - self.least(placement, device), 0) for device in later):
            raise _SpillsError

    def _dense_parts_fit(self) -> bool:
        home = self.default_placement().home
        placement = Placement(home, dict.fromkeys(range(self.model.layers), (Part.EXPERTS, HOST)))
        room, used = sum(self.targets), 0
        for device in range(self.count):
            _, high = buffer_bounds(self.need(), placement, self.count, device)
            used += self.measure(placement, device)[device] if high is None else self.least(placement, device) + high
        return room > used or room > sum(self.measure(placement).values())

    def _most_layers(self, fills: list[Fill], device: int, sparse: bool) -> list[Fill]:
        """Step 3 for one device: as many layers as meet its target (dense-only ones of a mixture model)."""
        free = self.slots - sum(f.layers for f in fills[device + 1 :])

        def given(layers: int) -> list[Fill]:
            partial = (layers if device < self.count - 1 else max(layers - 1, 0)) if sparse else 0
            return [*fills[:device], replace(fills[device], layers=layers, partial=partial), *fills[device + 1 :]]

        return given(self._largest(free, lambda layers: self.placed(given(layers)), device))

    def _largest(self, most: int, placed: Callable[[int], Placement], device: int) -> int:
        """The number up to `most` at which the engine's search ends for the target of `device`; 0 is always taken.

        Where more layers always take more that is the largest that meets the target. Without compute buffers it is found at once; a graph
        is drawn only for numbers near it.
        """
        target = self.targets[device]

        def least(number: int) -> int:
            return self.least(placed(number), device)

        def graph(number: int) -> int:
            return self.measure(placed(number), device)[device] - least(number)

        if most == 0 or self.within(placed(most), device, target):
            return most
        if self.takes_turns and any(least(number) < least(number - 1) for number in range(1, most + 1)):
            # Which of the numbers that meet the target is found lies with the search.
            return last_below(lambda number: self.measure(placed(number), device)[device], 0, most, target)
        compute, enough = buffer_bounds(self.need(), placed(most - 1), self.count, device)
        low = 0 if enough is None else last_below(least, 0, most, target - enough)
        # The head, alone or with the last block, needs less than the least of others.
        high = max(last_below(least, low, most, target - compute) + 1, min(most, 3))
        while high - low > 1:
            number = max(last_below(least, low, high, target - compute), low + 1)
            compute = graph(number)
            low, high = (number, high) if least(number) + compute <= target else (low, number)
        return low

    def _whole_layers(self, fills: list[Fill]) -> list[Fill]:
        """Step 4: dense-only layers become whole layers of the first devices."""
        # The first of the unbroken row of devices with layers that the last one ends: no row, nothing becomes whole.
        start = self.count
        while start > 0 and fills[start - 1].layers > 0:
            start -= 1
        device = 0
        while device <= start < self.count:
            if fills[-1].partial < 0 and device < self.count - 1:
                raise _EndlessError
            most = sum(f.partial for f in fills[start:])

            def placed(number: int, device: int = device, start: int = start, fills: list[Fill] = fills) -> Placement:
                return self.placed(self._convert(fills, start, device, number)[0])

            number = self._largest(most, placed, device)
            fills, start = self._convert(fills, start, device, number)
            fills, start = self._one_more(fills, start, device)
            self._may_go_on(fills, range(device + 1, self.count))
            device += 1
        return fills

    def _convert(self, fills: list[Fill], start: int, device: int, number: int) -> tuple[list[Fill], int]:
        """Give `number` layers, whole, to `device`, taken from the dense-only ones from `start` on."""
        result = list(fills)
        left = number
        while start < self.count:
            taken = min(left, result[start].partial)
            giver = result[start]
            result[start] = replace(giver, layers=giver.layers - taken, partial=giver.partial - taken)
            result[device] = replace(result[device], layers=result[device].layers + taken)
            left -= taken
            if result[start].partial > 0 or start == self.count - 1:
                break
            start += 1
        return result, start

    def _one_more(self, fills: list[Fill], start: int, device: int) -> tuple[list[Fill], int]:
        """Try to give `device` a part of one more layer, the rest of which goes to the next device (from the last one to RAM).

        When no block is left that is the head, whole: the last device then has one partial layer less than none.
        """
        if start >= self.count or fills[start].layers <= (0 if device < self.count - 1 else 1):
            return fills, start
        test = list(fills)
        test[start] = replace(test[start], layers=test[start].layers - 1, partial=test[start].partial - 1)
        overflow = device + 1 if device < self.count - 1 else HOST

        def with_part(part: Part) -> list[Fill]:
            taker = test[device]
            one = replace(taker, layers=taker.layers + 1, partial=taker.partial + 1, first_part=part, overflow=overflow)
            return [*test[:device], one, *test[device + 1 :]]

        looked_at = range(device, min(device + 2, self.count))

        def meets(part: Part) -> bool:
            return self.meets(self.placed(with_part(part)), looked_at, slack=1)

        moved_start = start + 1 if test[start].partial == 0 else start
        if meets(Part.UP):
            return with_part(Part.GATE if meets(Part.GATE) else Part.UP), moved_start
        if meets(Part.ATTENTION):
            return with_part(Part.ATTENTION), moved_start
        return fills, start
