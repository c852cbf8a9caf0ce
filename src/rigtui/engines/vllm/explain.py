"""Why a vLLM candidate is as it is, in sentences with the numbers that decided. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from msgspec.structs import replace

from rigtui.engines.vllm import rules
from rigtui.engines.vllm.derive import Candidate, Derivation
from rigtui.engines.vllm.footprint import budget, demand, graph_bytes, room
from rigtui.engines.vllm.layouts import alike
from rigtui.engines.vllm.partition import even, firsts, least_blocks
from rigtui.engines.vllm.published import TENSOR_PARALLEL_2
from rigtui.engines.vllm.tools import tool_parser
from rigtui.intent.intent import Intent
from rigtui.models.model import Model
from rigtui.planning.plan import Reason
from rigtui.planning.reserve import drives_display
from rigtui.rig.rig import Gpu, Rig
from rigtui.text import GIB, gib, mib


def reasons(rig: Rig, model: Model, derivation: Derivation, candidate: Candidate, asked: str) -> tuple[Reason, ...]:
    """Why this engine where `asked` leaves it open, these cards, this division, this share of them, this context."""
    found = [candidate.refusal] if candidate.refusal else []
    if candidate.status == "no_fit" and not found:
        found += [Reason("no_fit", shortfall(candidate)), *_smaller(model, derivation, candidate)]
    if asked == "auto":
        found.append(Reason("engine", "the weights here are safetensors, which vLLM reads; llama.cpp would need a GGUF file of the model"))
    found += _cards(candidate)
    found += _tensor_parallel(model, derivation, candidate)
    found += _stages(derivation, candidate)
    found += _speed_first(candidate)
    found += partition(candidate)
    found += _graphs(candidate)
    found += _learned(candidate)
    found += _utilization(rig, derivation, candidate)
    return (*found, *_context(derivation, candidate), *derivation.left_out)


def shortfall(candidate: Candidate) -> str:
    """Which stage fails, and by how much."""
    stage, missing = _poorest(candidate)
    card = candidate.layout.stages[stage][0]
    where = card.name if len(candidate.partition) == 1 else f"{_place(stage, len(candidate.partition))} ({card.name})"
    use = candidate.demand.use(firsts(candidate.partition)[stage], candidate.partition[stage])
    share = budget(card, candidate.utilization)
    text = f"does not fit: {where} may take {gib(share)}, and its weights need {gib(use.weights)}, activations {gib(use.compute)}" + (
        f", CUDA graphs {gib(use.graphs)}" if use.graphs else ""
    )
    if missing > 0:
        return f"{text}: {gib(missing)} too much before any KV" + (_head_text(candidate) if stage == len(candidate.partition) - 1 else "")
    longest = candidate.demand.cache.longest(candidate.blocks, 1, candidate.demand.model.context_trained)
    return f"{text}; what is left holds {longest:,} tokens of context"


def _smaller(model: Model, derivation: Derivation, candidate: Candidate) -> list[Reason]:
    """How large a checkpoint could be instead, from what the least context needs beside it."""
    settings = candidate.settings
    blocks = candidate.demand.cache.blocks(derivation.wants.context_least) + 1
    missing = 0
    for size, first, count in zip(_budgets(candidate), firsts(candidate.partition), candidate.partition, strict=True):
        use = candidate.demand.use(first, count)
        need = use.weights + use.compute + use.graphs + blocks * candidate.demand.cache.block_bytes(first, count)
        missing += max(need - size, 0) * settings.tensor_parallel
    left = model.weights_bytes - missing
    if missing <= 0 or left <= 0:
        return []
    return [
        Reason("smaller", f"a checkpoint of the same model of at most about {gib(left)} would fit; this one has {gib(model.weights_bytes)}")
    ]


def _head_text(candidate: Candidate) -> str:
    held = candidate.demand.weights
    head = (held.embedding if held.tied else held.head).on_a_rank(candidate.settings.tensor_parallel, held.kv_heads)
    return f"; {gib(head)} of it are the LM head, which no division into stages makes smaller" if len(candidate.partition) > 1 else ""


def _poorest(candidate: Candidate) -> tuple[int, int]:
    """The stage with the fewest blocks, and the bytes it misses for weights and activations."""
    blocks = _blocks(candidate)
    stage = min(range(len(blocks)), key=lambda index: blocks[index])
    return stage, max(-blocks[stage], 0)


def _blocks(candidate: Candidate) -> list[int]:
    budgets = _budgets(candidate)
    return [
        candidate.demand.blocks(size, first, count)
        for size, first, count in zip(budgets, firsts(candidate.partition), candidate.partition, strict=True)
    ]


def _budgets(candidate: Candidate) -> list[int]:
    return [min(budget(card, candidate.utilization) for card in stage) for stage in candidate.layout.stages]


def _place(stage: int, stages: int) -> str:
    if stage == stages - 1:
        return "the last stage"
    return "the first stage" if stage == 0 else f"stage {stage + 1} of {stages}"


def _cards(candidate: Candidate) -> list[Reason]:
    if candidate.status == "no_fit":
        return []
    settings = candidate.settings
    if settings.workers == 1:
        name = candidate.layout.cards[0].name
        return [Reason("single_card", f"all of it fits {name}; one card alone spares every hand-over between cards")]
    if settings.tensor_parallel > 1:
        low, high, _ = TENSOR_PARALLEL_2
        size = settings.tensor_parallel
        gain = f": {low}–{high} times the speed of one card is what others measured over PCIe" if size == 2 else ""
        text = f"{size} alike cards each compute a part of every layer at the same time (TP {size}){gain}"
        return [Reason("tensor_parallel", text)]
    return []


def _tensor_parallel(model: Model, derivation: Derivation, candidate: Candidate) -> list[Reason]:
    """Why the cards are not one tensor-parallel group."""
    cards = derivation.cards
    unlike = next((stage for stage in candidate.layout.stages if not alike(stage)), None)
    if unlike is not None:
        return [Reason("tp_smallest_card", smallest_card_text(unlike))]
    if len(cards) < 2 or candidate.settings.tensor_parallel == len(cards) or candidate.refusal:
        return _offer(model, cards, candidate)
    found = []
    if not alike(cards):
        found.append(Reason("tp_smallest_card", f"{smallest_card_text(cards)}; not proposed"))
    problem = rules.tensor_parallel_problem(model, len(cards))
    if problem is not None:
        found.append(Reason("tp_heads", f"{problem}; {_ways(model, cards)}"))
    return found


def _offer(model: Model, cards: Sequence[Gpu], candidate: Candidate) -> list[Reason]:
    if candidate.refusal is None or candidate.refusal.code != "tp_heads":
        return []
    return [Reason("instead", f"this model divides otherwise here: {_ways(model, cards)}")]


def _ways(model: Model, cards: Sequence[Gpu]) -> str:
    ways = [f"TP {size}" for size in rules.divisors(model, len(cards)) if any(alike(group) for group in combinations(cards, size))]
    ways.append(f"a pipeline of {len(cards)} (PP {len(cards)})" if len(cards) > 1 else "one card")
    return " or ".join(ways)


def smallest_card_text(cards: Sequence[Gpu]) -> str:
    """What tensor parallelism over unlike cards would waste."""
    totals = [card.total_bytes or 0 for card in cards]
    small = min(cards, key=lambda card: card.total_bytes or 0)
    usable = min(totals) * len(cards)
    wasted = sum(totals) - usable
    return (
        f"tensor parallel gives every card the same share, so {len(cards)} cards count as {len(cards)} times {small.name}: "
        f"{gib(usable)} in total and {gib(wasted)} wasted"
    )


def _speed_first(candidate: Candidate) -> list[Reason]:
    """What was given up for speed."""
    fuller = [c for c in candidate.given_up if c.status == "fits" and c.layout != candidate.layout]
    if not fuller or candidate.decode_tok_s is None or fuller[0].decode_tok_s is None:
        return []
    other = fuller[0]
    if other.decode_tok_s is not None and other.decode_tok_s >= candidate.decode_tok_s:
        return _over_pcie(candidate, other)
    text = (
        f"{other.settings.workers} cards would hold {other.settings.context:,} tokens, but at about {other.decode_tok_s:.0f} tok/s "
        f"instead of {candidate.decode_tok_s:.0f}: speed counts more for this use case"
    )
    return [Reason("speed_first", text)]


def _over_pcie(candidate: Candidate, other: Candidate) -> list[Reason]:
    """Why a larger tensor-parallel group is not proposed though it looks faster."""
    size = other.settings.tensor_parallel
    text = (
        f"{size} cards in tensor parallel (TP {size}) are expected to give {other.decode_tok_s:.0f} tok/s instead of "
        f"{candidate.decode_tok_s:.0f}, where they reach each other quickly: without NVLink, which no reading shows, vLLM advises a "
        f"pipeline; --engine-arg=--tensor-parallel-size={size} takes it"
    )
    return [Reason("tp_over_pcie", text)]


def _stages(derivation: Derivation, candidate: Candidate) -> list[Reason]:
    stages = candidate.settings.stages
    if stages < 2 or candidate.status == "no_fit":
        return []
    if derivation.own.stages:
        return [Reason("own_stages", f"{stages} stages, as you set")]
    ranks = candidate.settings.tensor_parallel
    fewer = [c for c in derivation.candidates if len(c.partition) < stages and c.settings.tensor_parallel == ranks]
    served = [c for c in fewer if c.status != "no_fit"]
    if not served:
        why = f"{stages} stages are the fewest that hold it"
    else:
        most = max(served, key=lambda c: c.settings.context)
        cards = "one card" if len(most.partition) == 1 else f"{len(most.partition)} stages"
        why = f"{stages} stages are the fewest for this context; {cards} would hold {most.settings.context:,} tokens"
    unused = len(derivation.cards) - candidate.settings.workers
    cost = "; every further one pays runtime, activations and a hand-over again" if unused > 0 else ""
    return [Reason("fewest_stages", why + cost)]


def partition(candidate: Candidate) -> list[Reason]:
    """How the layers lie, and which stage sets the size of the cache."""
    stages = len(candidate.partition)
    if stages < 2 or candidate.blocks <= 0:
        return []
    blocks = _blocks(candidate)
    poorest, richest = min(blocks), max(blocks)
    held, context = candidate.demand.cache, candidate.settings.context
    at = blocks.index(poorest)
    text = (
        f"every stage keeps as many KV blocks as the poorest: {_place(at, stages)} on {candidate.layout.stages[at][0].name} sets "
        f"{held.tokens(poorest, context):,} tokens"
    )
    if richest > poorest and richest < 1 << 39:
        text += f", the richest could hold {held.tokens(richest, context):,}"
    found = [Reason("kv_min_over_stages", text)]
    usual = even(candidate.demand.model.layers, stages)
    if candidate.partition != usual:
        before = least_blocks(candidate.demand, _budgets(candidate), usual)
        layers = ",".join(map(str, candidate.partition))
        instead = f"would hold {held.tokens(before, context):,}"
        if before <= 0:
            instead = f"misses {gib(-before)} on {_even_failure(candidate, usual)}"
        split = ",".join(map(str, usual))
        found.append(Reason("partition", f"layers {layers} keep the most KV these cards can; vLLM's even split {split} {instead}"))
    return found


def _even_failure(candidate: Candidate, usual: Sequence[int]) -> str:
    spread = zip(_budgets(candidate), firsts(usual), usual, strict=True)
    blocks = [candidate.demand.blocks(size, first, count) for size, first, count in spread]
    stage = blocks.index(min(blocks))
    return f"{_place(stage, len(usual))}, which holds the LM head" if stage == len(usual) - 1 else _place(stage, len(usual))


def graphs_cost(candidate: Candidate) -> str:
    """What CUDA graphs take, in GiB and in tokens of KV.

    Where a release takes them beside its share of the card, they cost as much: the share must be so much smaller.
    """
    settings, held = candidate.settings, candidate.demand.cache
    learned = candidate.demand.learned
    sizes = [int(graph_bytes(replace(settings, eager=False), count) * learned.graphs) for count in candidate.partition]
    without = demand(candidate.demand.model, replace(settings, eager=True), candidate.demand.weights, learned)
    budgets = _budgets(candidate)
    most = least_blocks(without, budgets, candidate.partition)
    least = least_blocks(without, [budget - size for budget, size in zip(budgets, sizes, strict=True)], candidate.partition)
    lost = held.tokens(max(most, 0), settings.context) - held.tokens(max(least, 0), settings.context)
    beside = (
        "" if settings.release.graphs_in_share else f": vLLM {settings.release.label} takes them beside its share, which must be smaller"
    )
    return f"CUDA graphs cost about {gib(max(sizes))}, {lost:,} tokens of KV{beside}"


def _graphs(candidate: Candidate) -> list[Reason]:
    settings = candidate.settings
    if candidate.blocks <= 0:
        return []
    cost = graphs_cost(candidate)
    if not settings.eager:
        why = "there is room for them" if candidate.status == "fits" else "speed counts more here"
        return [Reason("graphs_cost_kv", f"{cost}, and make each token up to twice as fast: {why}")]
    if len(candidate.partition) > 1:
        return [Reason("graphs_cost_kv", f"{cost}, and a pipeline over PCIe gains little from them: eager")]
    return [Reason("graphs_cost_kv", f"{cost}: eager, because the context counts more here")]


def _learned(candidate: Candidate) -> list[Reason]:
    """What is counted with otherwise than without earlier runs."""
    learned, cards = candidate.demand.learned, {card.name for card in candidate.layout.cards}
    parts = [f"vLLM's own context takes {mib(size)} on {name}" for name, size in learned.gone.items() if name in cards]
    stages = len(candidate.partition)
    more = {learned.more(at == 0, at == stages - 1) for at in range(stages)}
    if learned.compute:
        most, differ = max(more, key=abs), len(more) > 1
        parts.append(f"activations take {mib(abs(most))} {'more' if most > 0 else 'less'} than estimated{' at most' * differ}")
    if not candidate.settings.eager and learned.graphs != 1:
        parts.append(f"CUDA graphs take {learned.graphs:.0%} of the estimate")
    return [Reason("learned", f"as earlier runs on these cards showed, {'; '.join(parts)}")] if parts else []


def _utilization(rig: Rig, derivation: Derivation, candidate: Candidate) -> list[Reason]:
    if candidate.refusal is not None or (candidate.status == "no_fit" and candidate.settings.workers == 1):
        return []
    if derivation.own.utilization is not None:
        return [Reason("utilization", f"--gpu-memory-utilization {candidate.utilization:g}, as you set")]
    workers = candidate.settings.workers
    cards = candidate.layout.cards
    fullest = min(range(len(cards)), key=lambda i: (room(cards[i], rig, workers) - candidate.headroom[i]) / (cards[i].total_bytes or 1))
    card, keep = cards[fullest], candidate.headroom[fullest]
    why = "it drives the desktop, which grows" if drives_display(card) else "vLLM itself grows a little while it serves"
    text = (
        f"--gpu-memory-utilization {candidate.utilization:g}: {gib(room(card, rig, workers))} are free on {card.name} once vLLM's "
        f"context is there, and {gib(keep)} of them stay free ({why})"
    )
    if len(cards) > 1:
        idle = [room(c, rig, workers) - k - budget(c, candidate.utilization) for c, k in zip(cards, candidate.headroom, strict=True)]
        text += "; one value holds for all cards, the fullest decides"
        text += f", and {gib(max(idle))} of {cards[idle.index(max(idle))].name} stay unused" if max(idle) > GIB else ""
    return [Reason("utilization", text)]


def _context(derivation: Derivation, candidate: Candidate) -> list[Reason]:
    want, settings = derivation.wants, candidate.settings
    if candidate.status == "no_fit":
        return []
    found = []
    if want.context_fixed:
        found.append(Reason("context", f"{settings.context:,} tokens of context, as you set"))
    elif settings.context < want.context:
        found.append(Reason("context", f"{settings.context:,} tokens of context are the most that fit; {want.context:,} are wanted"))
    else:
        found.append(Reason("context", f"{settings.context:,} tokens of context, as the use case wants"))
    if want.slots > 1:
        found.append(Reason("concurrency", _requests(want.slots, candidate)))
    if settings.kv_type == "fp8" and not want.kv_fixed and derivation.own.kv_type is None:
        found.append(Reason("kv_type", "KV cache as fp8, half the size: in the model's own type less would fit"))
    return found


def _requests(slots: int, candidate: Candidate) -> str:
    tokens, context = candidate.kv_tokens, candidate.settings.context
    if candidate.requests >= slots:
        return f"{tokens:,} tokens of KV hold all {slots} requests of {context:,} at once"
    return f"{tokens:,} tokens of KV hold {candidate.requests} of the {slots} requests of {context:,} at once; the others wait their turn"


def warnings(model: Model, intent: Intent, derivation: Derivation, candidate: Candidate) -> tuple[Reason, ...]:
    """What the user should know before launching."""
    found: list[Reason] = []
    cards = candidate.layout.cards
    known = {found_ for card in cards if (found_ := rules.capability(card)) is not None}
    if len(known) > 1:
        least = min(cards, key=lambda card: rules.capability(card) or 0)
        found.append(
            Reason(
                "mixed_capability", f"cards of different generations: kernels are chosen for {least.name}, the oldest, which stands first"
            )
        )
    if rules.dtype_for(model, cards)[1]:
        found.append(Reason("half", "bfloat16 needs compute capability 8.0; float16 is used, in which some models overflow"))
    if intent.use_case.name == "coding" and tool_parser(model) is None and "--tool-call-parser" not in derivation.own.flags:
        found.append(
            Reason(
                "tool_parser",
                f"rigtui does not know how '{model.architecture}' models write tool calls: agents need --tool-call-parser from you",
            )
        )
    capability = rules.least_capability(cards)
    if candidate.settings.kv_type == "fp8" and capability is not None and capability < rules.FP8_KV_CAPABILITY:
        found.append(
            Reason("fp8_kv", "most of vLLM's kernels read an fp8 cache only from compute capability 8.9 on; these cards are older")
        )
    if intent.overrides.context and intent.overrides.context > model.context_trained:
        found.append(
            Reason("context_trained", f"vLLM refuses more than the {model.context_trained:,} tokens the model was trained for, unless told")
        )
    found += [Reason("model", note) for note in model.notes]
    return tuple(found)
