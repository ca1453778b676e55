import json
import time

from distill_prior_gen.cli.training_status import TrainingStatus


def test_the_status_tells_share_time_losses_and_verdicts(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    shown = []
    status = TrainingStatus(
        tmp_path / "status.json", {"prior": 8, "timeline": 4}, seconds=12, files=6
    )
    report = status.reporting(lambda share, text: shown.append((share, text)))
    report(0.25, "prior...")  # a training that was resumed
    assert json.loads(status.path.read_text())["seconds_left"] is None
    now[0] += 10
    status.epoch_done("prior", [0.9, 0.7, 0.5, 0.4, 0.3, 0.2], [0.9, 0.8, 0.9, 1.0, 1.1, 1.2])
    status.health = {"level_0": {"utilization": 0.1}}
    report(0.5, "prior 6/8")
    told = json.loads(status.path.read_text())
    assert told["share"] == 0.5
    assert told["seconds_left"] == 20  # a quarter took 10 s
    assert told["text"] == "prior 6/8"
    assert told["stages"]["prior"]["epochs"] == 8
    kinds = [kind for kind, advice in told["verdicts"]]
    assert kinds == ["prior: learning by heart", "codes unused", "too few recordings"]
    now[0] += 0.5
    report(0.6, "too soon")
    assert json.loads(status.path.read_text()) == told
    assert [share for share, text in shown] == [0.25, 0.5, 0.6]
    assert "Stop and keep the best" in told["verdicts"][0][1]
    status.epoch_done("timeline", [0.9] * 4, [0.5] * 4)  # is not judged, but the prior has ended
    now[0] += 10
    report(0.7, "timeline")
    verdicts = json.loads(status.path.read_text())["verdicts"]
    assert [kind for kind, advice in verdicts] == kinds
    assert verdicts[0][1].startswith("Epoch 2 is kept.")


def test_a_status_that_cannot_be_written_does_not_end_the_training(tmp_path):
    status = TrainingStatus(tmp_path / "no" / "status.json", {}, 100, 10)
    status.reporting(lambda share, text: None)(0.5, "on")
