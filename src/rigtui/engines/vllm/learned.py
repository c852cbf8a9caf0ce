"""What did earlier runs show that a new plan should count with? Every worker's own ledger, against the estimate for its settings. Pure.

It holds for the same model on the same type of card with the same vLLM; runs of other builds are left out before (`planning.lessons`). Of
several runs the latest counts, and of its cards the one that needed most.
"""

from __future__ import annotations

from collections.abc import Sequence

from rigtui.engines.vllm import rules
from rigtui.engines.vllm.arguments import read
from rigtui.engines.vllm.footprint import NCCL, TORCH, Demand, Learned, demand, graph_bytes
from rigtui.engines.vllm.settings import Settings, batch_defaults
from rigtui.engines.vllm.weights import weights
from rigtui.errors import UsageError
from rigtui.models.model import Model
from rigtui.planning.known import SeenWorker
from rigtui.rig.rig import Gpu


def learned(model: Model, workers: Sequence[SeenWorker], cards: Sequence[Gpu] = ()) -> Learned:
    """What `workers`, oldest first, showed of `model` and of `cards`, the rig's; those of other models tell of the cards alone."""
    if not workers:
        return Learned()
    gone = {w.card: max(w.gone_bytes - TORCH - (NCCL if w.workers > 1 else 0), 0) for w in workers if w.gone_bytes is not None}
    mine = [worker for worker in workers if worker.fingerprint == model.fingerprint]
    compute: dict[tuple[bool, bool], tuple[str, int]] = {}
    graphs: tuple[str, float] = ("", 1.0)
    loaded = weights(model) if mine else None
    totals = {card.name: card.total_bytes for card in cards}
    for worker in mine:
        settings = _settings(model, worker, totals.get(worker.card))
        if settings is None:
            continue
        needs = demand(model, settings, loaded)
        role, more = (worker.first, worker.last), _more(needs, worker)
        before = compute.get(role)
        if more is not None:
            same_run = before is not None and before[0] == worker.started
            compute[role] = (worker.started, max(more, before[1]) if same_run and before else more)
        estimate = graph_bytes(settings, worker.layers)
        if worker.graphs_bytes is not None and estimate:
            factor = worker.graphs_bytes / estimate
            graphs = (worker.started, max(factor, graphs[1]) if graphs[0] == worker.started else factor)
    return Learned(gone=gone, compute={role: more for role, (_, more) in compute.items()}, graphs=graphs[1])


def _more(needs: Demand, worker: SeenWorker) -> int | None:
    """Bytes of activations beyond the estimate for these settings."""
    if worker.compute_bytes is None:
        return None
    count = needs.model.layers
    first = 0 if worker.first else 1
    layers = count - first if worker.last else count - first - 1
    return worker.compute_bytes - needs.use(first, max(layers, 1)).compute


def _settings(model: Model, worker: SeenWorker, total_bytes: int | None) -> Settings | None:
    """How that run was set up, as far as activations and graphs depend on it; None where its command cannot be read."""
    try:
        own = read(worker.command)
    except UsageError:
        return None
    size = own.tensor_parallel or 1
    most_tokens, most_sequences = batch_defaults(worker.card, total_bytes)
    return Settings(
        tensor_parallel=size,
        stages=max(worker.workers // size, 1),
        context=own.context or model.context_trained,
        sequences=own.sequences or most_sequences,
        batched_tokens=own.batched_tokens or most_tokens,
        eager=own.eager is True,
        dtype=own.dtype or rules.dtype_for(model, ())[0],
    )
