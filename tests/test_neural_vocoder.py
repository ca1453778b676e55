"""The trained vocoder: what it receives, what it renders, and which files have one."""

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchaudio.transforms import GriffinLim

from distill_prior_gen import GenerationConfig, generate, hookimpl, load_model, neural_vocoder
from distill_prior_gen.audio.griffin_lim import LoopTransform, Transform
from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.checkpoint.description import describe_model
from distill_prior_gen.config import no_progress
from distill_prior_gen.networks.vocoder import VocoderNetwork
from distill_prior_gen.networks.vqvae import STRIDE
from distill_prior_gen.neural_vocoder import VocoderInput, find_phase, render
from distill_prior_gen.sampling.continuous_layout import ContinuousLayout
from tests.helpers.models import SMALL, add_vocoder, write_model
from tests.helpers.plugins import registered

RATE = SMALL.sample_rate


@pytest.fixture
def model(tmp_path):
    return load_model(add_vocoder(write_model(tmp_path / "m.distill")), "cpu")


def vocoder_input(frames, loop=False, spectrogram=SMALL, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = VocoderNetwork(
            spectrogram.n_mels, 6, spectrogram.n_fft // 2 + 1, width=8, num_blocks=2
        ).eval()
        mel, embeddings = torch.rand(spectrogram.n_mels, frames), torch.randn(6, frames)
    return VocoderInput(network.requires_grad_(False), spectrogram, mel, embeddings, loop)


def test_blocks_do_not_change_the_magnitudes(monkeypatch):
    source = vocoder_input(frames=100)
    whole = source.magnitudes(0, 100)
    monkeypatch.setattr(neural_vocoder, "BLOCK_FRAMES", 7)
    torch.testing.assert_close(source.magnitudes(0, 100), whole, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(source.magnitudes(30, 61), whole[30:61], rtol=1e-4, atol=1e-6)


def test_sections_do_not_change_the_sound(monkeypatch):
    source = vocoder_input(frames=200)
    whole = render(source, np.random.default_rng(0), 4, no_progress)
    monkeypatch.setattr(neural_vocoder, "SECTION_FRAMES", 30)
    pieces = render(source, np.random.default_rng(0), 4, no_progress)
    assert len(whole) == 199 * SMALL.hop_length
    torch.testing.assert_close(pieces, whole, rtol=0, atol=1e-3 * float(whole.abs().max()))


@settings(max_examples=20, deadline=None)
@given(shift=st.integers(0, 40))
def test_a_loop_may_begin_anywhere(shift):
    source = vocoder_input(frames=40, loop=True)
    rolled = replace(
        source, mel=source.mel.roll(shift, 1), embeddings=source.embeddings.roll(shift, 1)
    )
    torch.testing.assert_close(
        rolled.magnitudes(0, 40), source.magnitudes(0, 40).roll(shift, 0), rtol=1e-4, atol=1e-6
    )


def test_no_frame_is_louder_than_a_sine_at_full_scale():
    time = torch.arange(4096)
    sine = torch.sin(2 * torch.pi * 0.1 * time)
    spectra = torch.stft(sine, 256, 64, window=torch.hann_window(256), return_complex=True)
    loudest = spectra.abs()[:, 4:-4].norm(dim=0).mean()
    source = vocoder_input(frames=20)
    quiet = source.magnitudes(0, 20)
    assert quiet.norm(dim=1).max() < loudest
    with torch.no_grad():
        source.network.out.bias.add_(8.0)
    loud = source.magnitudes(0, 20)
    torch.testing.assert_close(loud.norm(dim=1), loudest.expand(20), rtol=0.01, atol=0)
    # The spectrum keeps its shape.
    torch.testing.assert_close(
        loud / loud.sum(dim=1, keepdim=True),
        quiet / quiet.sum(dim=1, keepdim=True),
        rtol=1e-3,
        atol=1e-6,
    )


def test_a_loop_has_no_step_at_its_end():
    """Of a sound without high frequencies, whose samples change slowly everywhere."""
    source = vocoder_input(frames=51, loop=True)
    with torch.no_grad():
        source.network.out.weight.zero_()
        source.network.out.bias.copy_(-0.5 * torch.arange(129.0))

    def step_at_turn(wave):
        steps = wave.tile(2).diff().abs()
        return float(steps[len(wave) - 1] / steps[: len(wave) - 1].max())

    loop = render(source, np.random.default_rng(0), 16, no_progress, loop_samples=3210)
    assert loop.shape == (3210,)
    assert step_at_turn(loop) < 1
    # The same, taken for a sound that ends, steps back to its beginning.
    ending = render(replace(source, loop=False), np.random.default_rng(0), 16, no_progress)
    assert step_at_turn(ending) > 1


@pytest.mark.parametrize("loop", [False, True])
def test_the_phase_of_a_sound_is_found_about_as_well_as_by_torchaudio(loop):
    """Spectral convergence, from the true magnitudes of a sound with tones and noise."""
    time = torch.arange(RATE) / RATE
    noise = torch.randn(RATE, generator=torch.Generator().manual_seed(0))
    sound = torch.sin(2 * torch.pi * 440 * time) * (-3 * time).exp() + 0.05 * noise
    frames = SMALL.frames(RATE)
    transform: Transform | LoopTransform = Transform(SMALL, frames, torch.device("cpu"))
    if loop:
        frames -= 1
        transform = LoopTransform(SMALL, frames, RATE, torch.device("cpu"))
    spectra = []

    def keep(values, block):
        spectra.append(values.abs())
        return values

    padded = torch.zeros(transform.length)
    padded[transform.inside] = sound[: len(padded[transform.inside])]
    transform.filter(padded, keep)
    magnitudes = torch.cat(spectra)
    start = np.random.default_rng(0).standard_normal(transform.length, dtype=np.float32)
    found = find_phase(transform, magnitudes, start, 32, no_progress)

    spectra.clear()
    padded = torch.zeros(transform.length)
    padded[transform.inside] = found
    transform.filter(padded, keep)
    ours = (torch.cat(spectra) - magnitudes).norm() / magnitudes.norm()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = GriffinLim(SMALL.n_fft, 32, hop_length=SMALL.hop_length, power=1)(magnitudes.mT)
    again = torch.stft(
        theirs, SMALL.n_fft, SMALL.hop_length, window=torch.hann_window(256), return_complex=True
    ).abs()[:, : len(magnitudes)]
    reference = (again - magnitudes.mT[:, : again.shape[1]]).norm() / magnitudes.norm()
    assert ours < 1.25 * reference


@pytest.mark.parametrize("power", [1.0, 2.0, 0.7])
def test_the_guess_of_a_flat_spectrum_is_its_magnitude(power):
    spectrogram = SpectrogramSettings(8000, 256, 64, 32, f_min=200, f_max=3000, power=power)
    mel = (3.0**power * spectrogram.filter_bank().sum(dim=0)).log1p()[:, None]
    guess = spectrogram.guess_log_magnitudes(mel)
    assert guess.shape == (1, 129)
    torch.testing.assert_close(guess, torch.full((1, 129), np.log(3.0), dtype=torch.float32))


@given(f_min=st.floats(0, 3000), width=st.floats(1, 4000), n_mels=st.integers(1, 40))
def test_bins_outside_of_all_bands_are_guessed_like_the_nearest_one_inside(f_min, width, n_mels):
    f_max = min(4000.0, f_min + width)
    spectrogram = SpectrogramSettings(8000, 64, 16, n_mels, f_min=f_min, f_max=f_max)
    inside = (spectrogram.filter_bank().sum(dim=1) > 0).nonzero()[:, 0].tolist()
    guess = spectrogram.guess_log_magnitudes(torch.linspace(0, 5, n_mels)[:, None])[0]
    assert guess.isfinite().all()
    for number, value in enumerate(guess.tolist()):
        if inside:
            nearest = min(abs(number - other) for other in inside)
            candidates = [guess[o] for o in inside if abs(number - o) == nearest]
            assert min(abs(value - float(c)) for c in candidates) < 1e-5


@pytest.mark.posix
def test_large_windows_are_guessed_in_little_memory():
    import resource

    large = SpectrogramSettings(48_000, 65_536, 16_384, 256)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    large.guess_log_magnitudes(torch.rand(256, 4))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # kB
    assert grown < 20 * 4 * 32_769 * 256 / 1024  # of the filter bank


@pytest.mark.parametrize(
    "spectrogram",
    [
        SpectrogramSettings(8000, 300, 70, 24, 50.0, 3500.0, 1.0),
        SpectrogramSettings(8000, 255, 255, 16, 0.0, None, 2.0),
        SpectrogramSettings(44_100, 1024, 333, 80, 20.0, 16_000.0, 2.0),
        SpectrogramSettings(8000, 128, 32, 100, 0.0, None, 0.5),
    ],
)
def test_every_spectrogram_setting_is_rendered(tmp_path, spectrogram):
    path = write_model(tmp_path / "m.distill", spectrogram=spectrogram, chunk_duration=1.0)
    model = load_model(add_vocoder(path), "cpu")
    config = GenerationConfig(duration=1.5, seed=3, quality="fast")
    take = generate(model, config)
    assert take.config.vocoder == "trained"
    assert len(take.audio) == round(1.5 * spectrogram.sample_rate)
    assert np.abs(take.audio).max() > 0
    assert (generate(model, config).audio == take.audio).all()
    assert (generate(model, replace(config, seed=4)).audio != take.audio).any()
    loop = generate(model, replace(config, loop=True, duration=3.0))
    assert len(loop.audio) == 3 * spectrogram.sample_rate


TAKES: dict[str, dict[str, Any]] = {
    "continue": {},
    "loop": {"loop": True},
    "spectral": {"sampler": "independent"},
    "spectral loop": {"sampler": "independent", "loop": True},
    "crossfade": {"sampler": "independent", "join": "crossfade"},
    "crossfade loop": {"sampler": "independent", "join": "crossfade", "loop": True},
}


class Probe:
    """A plugin with a silent vocoder that keeps what it receives."""

    def __init__(self):
        self.received = []

    @hookimpl
    def distill_register_vocoders(self, register):
        register("probe", self.invert, loops=True, conditioned=True)

    def invert(
        self, mel, spectrogram, generator, quality, progress, conditioning, loop_samples=None
    ):
        self.received.append((mel, conditioning))
        return torch.zeros(loop_samples or (mel.shape[1] - 1) * spectrogram.hop_length)


@pytest.mark.parametrize("name", TAKES)
def test_vocoders_receive_the_codes_that_the_mel_was_decoded_from(model, name):
    with registered(Probe(), "probe") as probe:
        config = GenerationConfig(duration=3, seed=1, vocoder="probe", **TAKES[name])
        take = generate(model, config)
    assert probe.received
    chunks = take.codes.unflatten(1, model.grid)
    for number, (mel, origin) in enumerate(probe.received):
        rows, frames = model.grid[0], mel.shape[1]
        assert origin.codes.shape == (rows, frames, model.num_quantizers)
        assert origin.embeddings.shape == (8, rows, frames)
        if name == "continue":
            decoded = model.decode_map(origin.codes[:, ::STRIDE])[:, :frames]
            torch.testing.assert_close(decoded, mel)
        if name == "loop":  # without the columns that fade between two drawings
            assert isinstance(take.layout, ContinuousLayout)
            faded = slice(take.layout.loop_overlap * STRIDE, None)
            assert faded.start < frames
            decoded = model.decode_map(origin.codes[:, ::STRIDE], loop=True)
            torch.testing.assert_close(decoded[:, faded], mel[:, faded])
        if name.startswith("crossfade"):
            held = origin.codes[:, ::STRIDE]
            assert (held == chunks[number][:, : held.shape[1]]).all()
    if name == "spectral":  # far from the seams, it is one chunk's alone
        middle = take.layout.starts[1] // SMALL.hop_length + model.valid_frames // 2
        column = (middle - take.layout.starts[1] // SMALL.hop_length) // STRIDE
        assert (origin.codes[:, middle] == chunks[1][:, column]).all()


def test_embeddings_are_the_vectors_of_the_codes_in_the_middle_between_columns(model):
    codes = torch.randint(16, (2, 5, 2), generator=torch.Generator().manual_seed(0))
    frames = model.vqvae.frame_embeddings(codes)
    vectors = sum(
        layer._codebook.embed[0][codes[..., level]]
        for level, layer in enumerate(model.vqvae.quantizer.rvq.layers)
    ).permute(2, 0, 1)
    assert frames.shape == (8, 2, 5 * STRIDE)
    between = (vectors[..., 1:] + vectors[..., :-1]) / 2
    at_border = (frames[..., STRIDE - 1 : -1 : STRIDE] + frames[..., STRIDE::STRIDE]) / 2
    torch.testing.assert_close(at_border, between)
    loop = model.vqvae.frame_embeddings(codes, loop=True)
    rolled = model.vqvae.frame_embeddings(codes.roll(2, 1), loop=True)
    torch.testing.assert_close(rolled, loop.roll(2 * STRIDE, 2))


def test_auto_is_the_trained_vocoder_where_there_is_one(model, tmp_path):
    assert generate(model, GenerationConfig(duration=1, seed=0)).config.vocoder == "trained"
    plain = load_model(write_model(tmp_path / "plain.distill"), "cpu")
    assert generate(plain, GenerationConfig(duration=1)).config.vocoder == "mel-griffin-lim"
    with pytest.raises(ValueError, match="has no trained vocoder; train one with 'distill-prior"):
        generate(plain, GenerationConfig(duration=1, vocoder="trained"))


def broken(path):
    """Entries that make a vocoder unusable, by what the message says."""
    state = torch.load(path, weights_only=True)["vocoder_state_dict"]
    config = {"architecture": "convnext-magnitudes", "width": 8, "num_blocks": 2}
    return {
        "which is unknown; update": {"vocoder_config": config | {"architecture": "hifigan"}},
        "vocoder_config is missing": {"vocoder_config": None},
        "width in vocoder_config must be from 1 to 1024": {
            "vocoder_config": config | {"width": 10**9}
        },
        "num_blocks in vocoder_config must be from 1 to 32": {
            "vocoder_config": config | {"num_blocks": True}
        },
        "vocoder_state_dict lacks": {"vocoder_state_dict": {}},
        "has the shape": {"vocoder_state_dict": state | {"out.bias": torch.zeros(3)}},
        "something other than a tensor": {"vocoder_state_dict": state | {"out.bias": 3}},
        "are not finite": {
            "vocoder_state_dict": state | {"out.bias": torch.full((129,), float("nan"))}
        },
    }


@pytest.mark.parametrize("number", range(8))
def test_a_model_with_a_broken_vocoder_still_plays(tmp_path, caplog, number):
    path = add_vocoder(write_model(tmp_path / "m.distill"))
    message, entries = list(broken(path).items())[number]
    add_vocoder(path, **entries)
    with caplog.at_level(logging.WARNING):
        model = load_model(path, "cpu")
    assert len(caplog.messages) == 1
    assert message in caplog.messages[0]
    assert "\n" not in caplog.messages[0]
    take = generate(model, GenerationConfig(duration=1, seed=0))
    assert take.config.vocoder == "mel-griffin-lim"
    with pytest.raises(ValueError, match=r"the trained vocoder of .* cannot be used"):
        generate(model, GenerationConfig(duration=1, vocoder="trained"))
    if number < 7:  # without its weights, a file is not known to hold wrong numbers
        assert message in describe_model(path)["vocoder_fault"]
        assert describe_model(path)["playable"]


def test_a_file_describes_its_vocoder(tmp_path):
    path = write_model(tmp_path / "m.distill")
    assert describe_model(path)["vocoder"] is None
    add_vocoder(path)
    vocoder = describe_model(path)["vocoder"]
    assert (vocoder["width"], vocoder["blocks"]) == (8, 2)
    network = load_model(path, "cpu").vocoder
    assert vocoder["parameters"] == sum(p.numel() for p in network.parameters())
