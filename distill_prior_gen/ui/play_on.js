// A take that goes on while it plays. Runs after tab.js.
() => {
  const find = (selector) => document.querySelector(`#distill-prior-${selector}`);
  const LEAD_S = 2; // sound that is asked for before it is heard
  const START_S = 0.1; // time to prepare the first piece
  const FADE_S = 0.02; // of the sound that is stopped

  let playing = null; // context, gain, rate; spans of sound; whether a piece is asked for; the end

  const mark = (text) => {
    const root = document.querySelector("#distill-prior");
    root.toggleAttribute("data-playing", Boolean(playing));
    find("play-note span").textContent = text;
  };

  const begin = () => {
    const audio = find("player audio");
    audio?.pause();
    playing = { spans: [], asked: true, ended: false, note: "" };
    mark("A moment...");
    return audio ? audio.currentTime : 0;
  };

  const open = (rate) => {
    const context = new AudioContext({ sampleRate: rate });
    const gain = new GainNode(context);
    gain.connect(context.destination);
    Object.assign(playing, { context, gain, rate, timer: setInterval(watch, 200) });
  };

  const samplesOf = (text) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const view = new DataView(bytes.buffer);
    return Float32Array.from({ length: bytes.length / 2 }, (_, i) => view.getInt16(2 * i, true) / 32767);
  };

  const endOf = (span) => span.frame + span.length;

  // Times are counted in frames, so that pieces follow each other without a gap.
  const hear = ({ sound, rate, note }) => {
    if (!playing) return; // it was stopped meanwhile
    playing.asked = false;
    playing.note = note ?? "";
    playing.ended ||= !sound;
    if (!sound) return playing.context ? undefined : stop();
    if (rate) open(rate);
    const samples = samplesOf(sound);
    const { context, gain, spans } = playing;
    const soonest = Math.ceil((context.currentTime + START_S) * context.sampleRate);
    const last = spans.at(-1);
    const late = !last || endOf(last) < context.currentTime * context.sampleRate;
    const span = { frame: late ? soonest : endOf(last), length: samples.length };
    const buffer = new AudioBuffer({ length: samples.length, sampleRate: context.sampleRate });
    buffer.copyToChannel(samples, 0);
    const source = new AudioBufferSourceNode(context, { buffer });
    source.connect(gain);
    source.start(span.frame / context.sampleRate);
    spans.push(span);
  };

  const heard = () => {
    const now = Math.floor(playing.context.currentTime * playing.context.sampleRate);
    const of = ({ frame, length }) => Math.min(Math.max(now - frame, 0), length);
    return playing.spans.reduce((sum, span) => sum + of(span), 0);
  };

  const watch = () => {
    const { context, spans } = playing;
    const left = endOf(spans.at(-1)) / context.sampleRate - context.currentTime;
    if (context.state === "suspended") context.resume();
    if (playing.ended && left <= 0) return pressStop();
    if (left < LEAD_S && !playing.asked && !playing.ended) {
      playing.asked = true;
      find("more").click();
    }
    const whole = Math.floor(heard() / playing.rate);
    const time = `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
    const waiting = left < 0 ? ", waiting for another take" : "";
    mark(playing.note || `${time} played${waiting}. Controls that you move act on what is to come.`);
  };

  const stop = () => {
    if (!playing) return null;
    const { context, gain, timer } = playing;
    const count = context ? heard() : null;
    clearInterval(timer);
    gain?.gain.setTargetAtTime(0, context.currentTime, FADE_S / 4);
    setTimeout(() => context?.close(), 10 * FADE_S * 1000);
    playing = null;
    mark("");
    return count;
  };

  const pressStop = () => {
    if (playing) find("stop").click();
  };

  document.addEventListener("play", (event) => {
    if (playing && event.target === find("player audio")) event.target.pause();
  }, true);

  const played = () => (playing?.context ? heard() / playing.rate : 0);
  window.distillPrior.playOn = { begin, hear, stop, pressStop, played };
}
