// The parts of the Prior tab that run in the browser. This runs when the page has loaded.
() => {
  const find = (selector) => document.querySelector(`#distill-prior-${selector}`);

  document.addEventListener("keydown", (event) => {
    const button = find("generate");
    const visible = button && button.offsetParent;
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || !visible) return;
    event.preventDefault();
    event.stopPropagation();
    button.click();
  }, true);

  document.addEventListener("click", (event) => {
    if (!event.target.closest("#distill-prior-status a")) return;
    event.preventDefault();
    find("player").scrollIntoView();
  });

  // An error message is hidden as soon as a control is changed.
  document.addEventListener("input", (event) => {
    if (event.target.closest("#distill-prior")) find("status .fault")?.classList.add("read");
  }, true);

  // The next sound that is loaded goes on from where the last one was, or begins otherwise.
  let begin = null;
  let stopAt = Infinity;
  let repeating = false;
  const resume = (start = null) => {
    const audio = find("player audio");
    if (!audio) return;
    const { currentTime, paused } = audio;
    const end = stopAt;
    begin = start ?? (() => (paused ? seek(currentTime) : play(currentTime, end)));
  };
  const seek = (time) => {
    const audio = find("player audio");
    audio.currentTime = time < audio.duration ? time : 0;
  };
  const play = (start, end = Infinity) => {
    seek(start);
    stopAt = end;
    find("player audio").play().catch(() => {}); // the browser may ask for a click
  };
  document.addEventListener("change", (event) => {
    if (!event.target.closest("#distill-prior-takes")) return;
    const { currentTime } = find("player audio");
    begin ??= () => play(currentTime);
  }, true);
  document.addEventListener("loadedmetadata", (event) => {
    const audio = event.target;
    if (audio !== find("player audio")) return;
    audio.controlsList = "nodownload";
    audio.loop = repeating;
    begin?.();
    begin = null;
  }, true);
  document.addEventListener("timeupdate", (event) => {
    const audio = event.target;
    if (audio !== find("player audio") || audio.currentTime < stopAt) return;
    // Much later, somebody has moved the player.
    if (audio.currentTime < stopAt + 1) audio.pause();
    stopAt = Infinity;
  }, true);

  const repeat = (wanted) => {
    repeating = wanted;
    const audio = find("player audio");
    if (audio) audio.loop = wanted;
  };

  // Over plain http there is no clipboard API, so the selected text is copied by a command.
  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      return "Copied";
    } catch {
      const box = document.createElement("textarea");
      box.value = text;
      box.style.position = "fixed"; // else the page scrolls to it
      document.body.append(box);
      box.select();
      const copied = document.execCommand("copy");
      box.remove();
      return copied ? "Copied" : "Select it and press Ctrl+C";
    }
  };

  const download = (files) => {
    for (const file of files) {
      const link = document.createElement("a");
      link.href = file.url;
      link.download = file.orig_name;
      link.click();
    }
  };

  // What the browser keeps, as long as the page where it keeps nothing.
  const kept = {};
  const load = (name) => {
    try {
      return localStorage.getItem(`distill-prior-${name}`) ?? kept[name];
    } catch {
      return kept[name];
    }
  };
  const store = (name, text) => {
    kept[name] = text;
    try {
      localStorage.setItem(`distill-prior-${name}`, text);
    } catch {} // it is full, or forbidden
  };

  // The identifier by which other machines find their takes again.
  const browser = () => {
    if (!/^[0-9a-f]{32}$/.test(load("browser"))) {
      const bytes = crypto.getRandomValues(new Uint8Array(16));
      const digits = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0"));
      store("browser", digits.join(""));
    }
    return load("browser");
  };

  // The values of the controls, which are remembered as soon as the former ones are back.
  let settled = false;
  const settings = {
    recall: () => {
      try {
        return JSON.parse(load("settings") ?? "[]");
      } catch {
        return [];
      }
    },
    settle: (values) => {
      settled = true;
      settings.remember(values);
    },
    remember: (values) => {
      if (settled) store("settings", JSON.stringify(values));
    },
  };

  window.distillPrior = { browser, settings, copy, download, play, repeat, resume };
}
