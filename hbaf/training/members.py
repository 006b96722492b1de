"""Trains what a package holds: one member or several, which differ in their seed alone, then the label chain."""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from lightning.pytorch.callbacks import Callback
from torch import nn

from hbaf.model.batch import UNLABELLED
from hbaf.model.ensemble import Ensemble
from hbaf.parameters import TrainingParameters
from hbaf.processes import beside, cores
from hbaf.training.chain import chained, with_and_without
from hbaf.training.data import Dialogue
from hbaf.training.evaluate import SplitPredictions, predict
from hbaf.training.fit import best_epoch, fit, seed_everything
from hbaf.training.quality.calibration import fit_temperature
from hbaf.training.run_log import MetricLog

log_ = logging.getLogger(__name__)
_Member = tuple[nn.Module, list[dict[str, float]]]


@dataclass(frozen=True)
class Whole:
    """What was trained.

    Attributes:
        system: in evaluation mode; chain and mean included.
        predictions: of dev, by the whole.
        alone: weighted F1 on dev without the chain.
        histories: metrics of each epoch, a list per member.
    """

    system: nn.Module
    predictions: SplitPredictions
    alone: float
    histories: list[list[dict[str, float]]]


class MemberLog:
    """The run's log as a member sees it: the curves of the second one on stand under `member/<n>/`."""

    def __init__(self, log: MetricLog, member: int) -> None:
        self.log = log
        self.prefix = f"member/{member}/" if member else ""

    def log_metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """The first member's metrics keep their names, so that a run of one member reads as ever."""
        self.log.log_metrics({f"{self.prefix}{name}": value for name, value in values.items()}, step=step)


def train_members(
    build: Callable[[], nn.Module],
    train: Sequence[Dialogue],
    dev: Sequence[Dialogue],
    *,
    emotions: Sequence[str],
    training: TrainingParameters,
    folder: Path,
    log: MetricLog,
    callbacks: Sequence[Callback] = (),
    workers: int = 1,
    progress: bool = False,
) -> Whole:
    """Trains `training.members` systems with the seeds `seed`, `seed + 1` and so on.

    Each is bit by bit what a run of that seed alone gives with as many threads; with one member it is that run.

    Args:
        build: makes one member with fresh weights; called after the seed is set.
        workers: members that are trained at a time, this process included; for more than one, `build` survives pickling
            and `callbacks` see only the members that this process trains.
        folder: for checkpoints, a folder in it for each member from the second on: an interrupted run goes on with the
            member that it was at.
    """
    threads = torch.get_num_threads()
    if workers > 1 and training.threads is None:
        training = training.model_copy(update={"threads": max(1, cores() // workers)})
    member = partial(_member, build, train, dev, emotions=emotions, training=training, folder=folder)
    here = partial(member, log=log, callbacks=callbacks, progress=progress)
    trained: dict[int, _Member] = {}
    if workers > 1:
        with beside(partial(_leave_checkpoints, member), range(1, training.members), workers - 1) as others:
            trained[0] = here(0)
            for number, other in reversed([*enumerate(others, 1)]):
                if other.cancel():  # nobody has begun with it
                    trained[number] = here(number)
            for number, other in enumerate(others, 1):
                try:
                    if number not in trained:
                        other.result()
                except BrokenProcessPool:
                    log_.warning("the process of member %d died; it goes on in this one", number + 1)
    # What was trained beside is taken up from its checkpoints.
    members, histories = zip(*(trained.get(n) or here(n) for n in range(training.members)), strict=True)
    if workers > 1:
        torch.set_num_threads(threads)
    kept = best_epoch(histories[0], training.monitor)
    log.log_metrics({f"best/{n.removeprefix('dev/')}": value for n, value in kept.items() if n.startswith("dev/")})
    system, alone = members[0], kept["dev/weighted_f1"]
    if len(members) > 1:
        system, scores = ensemble(members, dev, emotions)
        mean = predict(system, dev, emotions)
        alone = mean.weighted_f1()
        log.log_metrics({f"member/{number}/weighted_f1": score for number, score in enumerate(scores)})
        log.log_metrics({"members/gain": alone - sum(scores) / len(scores)})
        log.log_metrics({f"best/{n}": value for n, value in {**mean.metrics(), "loss": mean.loss()}.items()})
    whole = chained(system, train, dev, emotions, training.label_chain)
    predictions = predict(whole, dev, emotions)
    if whole is not system:
        log.log_metrics(with_and_without(alone, predictions))
    return Whole(whole.eval(), predictions, alone, list(histories))


def _member(
    build: Callable[[], nn.Module],
    train: Sequence[Dialogue],
    dev: Sequence[Dialogue],
    number: int,
    *,
    emotions: Sequence[str],
    training: TrainingParameters,
    folder: Path,
    log: MetricLog | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = False,
) -> _Member:
    """One member in evaluation mode, and its history."""
    own = training.model_copy(update={"seed": training.seed + number})
    seed_everything(own.seed)
    system = build()
    if progress and training.members > 1:
        print(f"member {number + 1} of {training.members}, seed {own.seed}")
    history = fit(
        system,
        train,
        dev,
        emotions=emotions,
        training=own,
        progress=progress,
        log=None if log is None else MemberLog(log, number),
        callbacks=callbacks,
        folder=folder / f"member-{number}" if number else folder,
    )
    return system.eval(), history


def _leave_checkpoints(member: Callable[[int], _Member], number: int) -> None:
    member(number)


def ensemble(
    members: Sequence[nn.Module], dev: Sequence[Dialogue], emotions: Sequence[str]
) -> tuple[Ensemble, list[float]]:
    """The members with a temperature each, fitted on dev, and the weighted F1 of each on dev."""
    found = [predict(member, dev, emotions) for member in members]
    labelled = found[0].truth != UNLABELLED
    whole = Ensemble(members).to(next(members[0].parameters()).device)
    temperatures = [fit_temperature(each.probability[labelled].astype(float), each.truth[labelled]) for each in found]
    whole.temperatures.copy_(torch.tensor(temperatures))
    return whole.eval(), [each.weighted_f1() for each in found]
