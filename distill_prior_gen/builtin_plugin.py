"""This package's own plugin: its commands, tabs, samplers and vocoders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from distill_prior_gen.hookspecs import hookimpl

if TYPE_CHECKING:
    from distill_prior_gen.hookspecs import (
        RegisterSampler,
        RegisterTab,
        RegisterVocoder,
        TabContext,
    )


@hookimpl
def distill_register_commands(cli: click.Group) -> None:
    from distill_prior_gen.cli.benchmark import benchmark
    from distill_prior_gen.cli.decode import decode
    from distill_prior_gen.cli.encode import encode
    from distill_prior_gen.cli.evaluate import evaluate
    from distill_prior_gen.cli.fill import fill
    from distill_prior_gen.cli.info import info
    from distill_prior_gen.cli.morph import morph
    from distill_prior_gen.cli.plugins import plugins
    from distill_prior_gen.cli.preset import preset
    from distill_prior_gen.cli.redraw import redraw
    from distill_prior_gen.cli.replay import replay
    from distill_prior_gen.cli.sample import sample
    from distill_prior_gen.cli.stream import stream
    from distill_prior_gen.cli.takes import takes
    from distill_prior_gen.cli.train import train
    from distill_prior_gen.cli.train_prior import train_prior
    from distill_prior_gen.cli.train_timeline import train_timeline
    from distill_prior_gen.cli.train_vocoder import train_vocoder
    from distill_prior_gen.cli.ui import ui

    for command in (
        sample,
        stream,
        replay,
        redraw,
        fill,
        morph,
        encode,
        decode,
        takes,
        preset,
        info,
        train,
        train_prior,
        train_timeline,
        train_vocoder,
        evaluate,
        ui,
        benchmark,
        plugins,
    ):
        cli.add_command(command)


@hookimpl
def distill_register_tabs(register: RegisterTab) -> None:
    def build(context: TabContext) -> None:
        from distill_prior_gen.ui.tab import build_tab

        build_tab(context)

    def build_train(context: TabContext) -> None:
        from distill_prior_gen.ui.train_tab import build_train_tab

        build_train_tab(context)

    register("prior", "Prior", build)
    register("train-model", "Train model", build_train)


@hookimpl
def distill_register_prior_samplers(register: RegisterSampler) -> None:
    from distill_prior_gen.sampling.autoregressive import sample_autoregressive
    from distill_prior_gen.sampling.timeline import sample_timeline

    # `choose_sampler` replaces "auto".
    register("auto", sample_autoregressive, continues=True, at_once=True)
    register("timeline", sample_timeline, whole=True)
    register("continue", sample_autoregressive, continues=True, at_once=True)
    register("independent", sample_autoregressive)


@hookimpl
def distill_register_vocoders(register: RegisterVocoder) -> None:
    from distill_prior_gen.audio.griffin_lim import mel_griffin_lim
    from distill_prior_gen.audio.torchaudio_vocoder import torchaudio_griffin_lim
    from distill_prior_gen.neural_vocoder import trained_vocoder

    # `choose_vocoder` replaces "auto" where there is a model; `invert_mel` is given only a mel.
    register("auto", mel_griffin_lim, loops=True)
    register("trained", trained_vocoder, loops=True, conditioned=True)
    register("mel-griffin-lim", mel_griffin_lim, loops=True)
    register("torchaudio", torchaudio_griffin_lim)
