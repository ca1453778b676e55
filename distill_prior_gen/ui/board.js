// The board of the Prior tab: selecting regions, the playhead, and the keys. Runs after tab.js.
() => {
  if (window.distillPrior.board) return;
  const find = (selector) => document.querySelector(`#distill-prior-${selector}`);
  const player = () => find("player audio");
  const DRAG_PX = 5; // a shorter movement is a click
  const ROW_PX = 14; // a drag that is less high selects all rows
  const CONTEXT_S = 0.5; // what is heard before and after a cell or a region

  let facts = null; // what the server says of the shown take
  let regions = []; // columns first..last and rows low..high, counted from 0
  let cursor = null; // column, row and level of a cell
  let anchor = null; // where the selection with the keyboard began
  let heard = null; // the span that is being played

  const rows = () => facts.hertz.length - 1;
  const columns = () => facts.edges.length - 1;
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const columnAt = (time) => {
    const [start, next] = facts.edges;
    return clamp(Math.floor((time - start) / (next - start)), 0, columns() - 1);
  };
  const spanOf = ({ first, last }) => [
    Math.max(0, facts.edges[first]), Math.min(facts.duration, facts.edges[last + 1]),
  ];
  const seconds = (time) => String(Math.round(time * 100) / 100);

  // ---- Drawing

  const place = (element, start, end, low, high) => {
    const across = (time) => (100 * time) / facts.duration;
    const up = (row) => (100 * row) / rows();
    element.style.left = `${across(start)}%`;
    element.style.width = `${across(end - start)}%`;
    element.style.bottom = `${up(low)}%`;
    element.style.height = `${up(high - low)}%`;
  };

  const add = (plot, kind) => {
    const element = document.createElement("div");
    element.className = kind;
    plot.append(element);
    return element;
  };

  const words = (region) => {
    const [start, end] = spanOf(region);
    const all = region.high - region.low + 1 === rows();
    const band = `${facts.hertz[region.low]} to ${facts.hertz[region.high + 1]} Hz`;
    return `${seconds(start)} to ${seconds(end)} s${all ? "" : `, ${band}`}`;
  };

  const draw = () => {
    const board = find("board .board");
    if (!board || !facts) return;
    board.querySelectorAll(".region, .cursor, .boundary").forEach((each) => each.remove());
    board.querySelectorAll(".plot").forEach((plot, panel) => {
      for (const boundary of facts.boundaries) {
        add(plot, "boundary").style.left = `${(100 * boundary) / facts.duration}%`;
      }
      for (const region of regions) {
        const box = add(plot, "region");
        place(box, ...spanOf(region), region.low, region.high + 1);
        if (panel > 0) continue;
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = "×";
        button.ariaLabel = `Do not redraw ${words(region)}`;
        button.addEventListener("click", () => remove(region));
        box.append(button);
      }
      if (cursor && cursor.level === panel - 1) {
        const span = spanOf({ first: cursor.column, last: cursor.column });
        place(add(plot, "cursor"), ...span, cursor.row, cursor.row + 1);
      }
    });
    drawLevels();
    drawPlayhead();
    board.parentElement.querySelector(".cell").innerHTML = cursor ? describe() : hint();
  };

  const hint = () => regions.length
    ? `To be redrawn: ${regions.map(words).join("; ")}.`
    : "Drag over the picture to select what is redrawn; click to hear a place."
      + '<span class="keys"> Keys: arrows, Shift and arrows to select, Enter redraws.</span>';

  const describe = () => {
    const [start, end] = spanOf({ first: cursor.column, last: cursor.column });
    const middle = (start + end) / 2;
    const map = facts.maps.findLast((each) => each.start <= middle) ?? facts.maps[0];
    const column = clamp(Math.floor((middle - map.start) / map.column), 0, map.codes.length - 1);
    const code = map.codes[column][cursor.row][cursor.level];
    const share = facts.usage[cursor.level][code];
    const percent = share >= 0.001 ? `${Number((100 * share).toPrecision(2))}%` : "under 0.1%";
    const band = `${facts.hertz[cursor.row]} to ${facts.hertz[cursor.row + 1]} Hz`;
    return `<b>${facts.levels[cursor.level]}</b>, ${seconds(start)} to ${seconds(end)} s, ${band}: `
      + `code ${code}, at ${percent} of the places in the recordings.`;
  };

  const drawLevels = () => {
    document.querySelectorAll("#distill-prior-levels input").forEach((box, level) => {
      find(`board .level-${level}`)?.classList.toggle("off", !box.checked);
    });
  };

  const drawPlayhead = () => {
    const head = find("board .playhead"), audio = player();
    if (!head || !facts) return;
    const share = audio ? clamp(audio.currentTime / facts.duration, 0, 1) : 0;
    head.style.left = `calc(var(--gutter) + ${share} * (100% - var(--gutter)))`;
  };

  // ---- Playing

  const play = (start, end) => {
    const audio = player();
    if (!audio) return;
    heard = { start: clamp(start, 0, facts.duration), end };
    audio.currentTime = heard.start;
    audio.play().catch(() => {});
  };

  const playAround = ([start, end]) => {
    const spare = Math.max(CONTEXT_S, 0.5 - (end - start) / 2);
    play(start - spare, end + spare);
  };

  const tick = () => {
    const audio = player();
    drawPlayhead();
    if (!audio || audio.paused) return;
    if (heard && (audio.currentTime < heard.start - 0.1 || audio.currentTime > heard.end + 0.3)) {
      heard = null; // somebody has moved the player
    }
    if (heard && audio.currentTime >= heard.end) {
      audio.pause();
      return;
    }
    requestAnimationFrame(tick);
  };
  document.addEventListener("play", (event) => event.target === player() && tick(), true);
  for (const name of ["seeked", "loadedmetadata", "timeupdate"]) {
    document.addEventListener(name, (event) => event.target === player() && drawPlayhead(), true);
  }
  document.addEventListener("pause", (event) => {
    if (event.target === player()) heard = null;
  }, true);

  // ---- Regions

  const select = (region) => {
    const same = (other) => ["first", "last", "low", "high"].every((k) => other[k] === region[k]);
    if (!regions.some(same)) regions.push(region);
  };
  const remove = (region) => {
    regions = regions.filter((each) => each !== region);
    draw();
    find("board").focus({ preventScroll: true });
  };
  const clear = () => {
    regions = [];
    cursor = anchor = null;
    draw();
  };

  // The place of a pointer in a plot: time, and height from 0 below to 1 above.
  const placeOf = (event, plot) => {
    const box = plot.getBoundingClientRect();
    return {
      time: clamp((event.clientX - box.left) / box.width, 0, 1) * facts.duration,
      height: clamp((box.bottom - event.clientY) / box.height, 0, 0.9999),
      x: event.clientX,
      y: event.clientY,
      size: box.height,
    };
  };

  const regionBetween = (from, to) => {
    const [first, last] = [columnAt(from.time), columnAt(to.time)].sort((a, b) => a - b);
    const across = Math.abs(from.height - to.height);
    const some = across * from.size >= Math.max(ROW_PX, from.size / rows()) && across < 0.8;
    const [low, high] = some
      ? [from, to].map((it) => Math.floor(it.height * rows())).sort((a, b) => a - b)
      : [0, rows() - 1];
    return { first, last, low, high };
  };

  let drag = null;
  document.addEventListener("pointerdown", (event) => {
    const plot = event.target.closest?.("#distill-prior-board .plot");
    if (!plot || event.button !== 0 || event.target.closest("button") || !facts) return;
    plot.setPointerCapture(event.pointerId);
    drag = { plot, from: placeOf(event, plot), region: null };
  });
  document.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const to = placeOf(event, drag.plot);
    if (!drag.region && Math.hypot(to.x - drag.from.x, to.y - drag.from.y) < DRAG_PX) return;
    regions = regions.filter((each) => each !== drag.region);
    drag.region = regionBetween(drag.from, to);
    regions.push(drag.region);
    cursor = anchor = null;
    draw();
  });
  document.addEventListener("pointerup", () => {
    if (!drag) return;
    const { plot, from, region } = drag;
    drag = null;
    if (region) {
      regions = regions.filter((each) => each !== region);
      select(region);
    } else {
      const panel = [...find("board").querySelectorAll(".plot")].indexOf(plot);
      const row = Math.floor(from.height * rows());
      cursor = { column: columnAt(from.time), row, level: Math.max(0, panel - 1) };
      anchor = null;
      const audio = player();
      if (audio && !audio.paused) {
        heard = null;
        audio.currentTime = from.time;
      } else play(from.time - CONTEXT_S, from.time + CONTEXT_S);
    }
    draw();
  });
  document.addEventListener("pointercancel", () => { // the page is scrolled
    if (!drag) return;
    regions = regions.filter((each) => each !== drag.region);
    drag = null;
    draw();
  });

  // ---- Keys

  const move = (across, up, selecting) => {
    const start = columnAt(player()?.currentTime ?? 0);
    if (!cursor) cursor = { column: start, row: rows() - 1, level: 0 };
    else {
      if (selecting && !anchor) anchor = { ...cursor, region: null };
      cursor.column = clamp(cursor.column + across, 0, columns() - 1);
      const row = cursor.row + up;
      const level = cursor.level - Math.sign(up);
      if (row >= 0 && row < rows()) cursor.row = row;
      else if (!selecting && level >= 0 && level < facts.levels.length) {
        cursor.level = level;
        cursor.row = up > 0 ? 0 : rows() - 1;
      }
    }
    if (!selecting) anchor = null;
    else {
      anchor ??= { ...cursor, region: null };
      regions = regions.filter((each) => each !== anchor.region);
      const [first, last] = [anchor.column, cursor.column].sort((a, b) => a - b);
      const [low, high] = anchor.row === cursor.row
        ? [0, rows() - 1]
        : [anchor.row, cursor.row].sort((a, b) => a - b);
      anchor.region = { first, last, low, high };
      regions.push(anchor.region);
    }
    draw();
  };

  const removeAtCursor = () => {
    const holds = (it) => cursor && it.first <= cursor.column && cursor.column <= it.last;
    const region = regions.findLast(holds) ?? regions.at(-1);
    anchor = null;
    if (region) remove(region);
  };

  const click = (name) => find(name)?.click();
  const arrows = {
    ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1],
  };
  const keys = {
    Enter: () => click("redraw"),
    r: () => click("redraw"),
    Delete: removeAtCursor,
    Backspace: removeAtCursor,
    Escape: clear,
    x: () => click("switch"),
    a: () => click("switch"),
    " ": () => (player()?.paused
      ? playAround(cursor ? spanOf({ first: cursor.column, last: cursor.column }) : [0, facts.duration])
      : player()?.pause()),
  };
  const controlKeys = { z: () => click("undo"), y: () => click("redo"), Z: () => click("redo") };

  document.addEventListener("keydown", (event) => {
    if (event.target !== find("board") || !facts || event.altKey) return;
    const control = event.ctrlKey || event.metaKey;
    let action = null;
    if (control) {
      const name = event.key.length === 1 && !event.shiftKey ? event.key.toLowerCase() : event.key;
      action = controlKeys[event.shiftKey ? name.toUpperCase() : name];
    } else if (arrows[event.key]) action = () => move(...arrows[event.key], event.shiftKey);
    else if (/^[0-4]$/.test(event.key)) {
      action = () => document.querySelectorAll("#distill-prior-alternatives input")[event.key]?.click();
    } else action = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });

  // ---- The page

  document.addEventListener("change", (event) => {
    if (event.target.closest("#distill-prior-levels")) drawLevels();
  });

  // Whatever changes the board keeps the place of the player. If it is not playing, a new
  // alternative is heard where it is new.
  const keepPlace = (event) => {
    const audio = player();
    const changes = ["undo", "redo", "switch", "alternatives"];
    const name = changes.find((each) => event.target.closest?.(`#distill-prior-${each}`));
    if (!name || !audio || event.target.disabled) return;
    resume(name === "alternatives" && event.type === "click");
  };
  const resume = (audition) => {
    const audio = player();
    if (!audio) return;
    const spans = regions.map(spanOf);
    const start = Math.min(...spans.map(([begin]) => begin)) - CONTEXT_S;
    const end = Math.max(...spans.map(([, stop]) => stop)) + CONTEXT_S;
    const part = audition && audio.paused && spans.length
      ? { start: Math.max(0, start), end }
      : heard;
    window.distillPrior.resume(part && part !== heard ? part.start : audio.currentTime,
      !audio.paused || Boolean(part), () => { heard = part; });
  };
  document.addEventListener("click", keepPlace, true);

  const start = () => {
    resume(true);
    return regions;
  };

  const read = () => {
    const board = find("board");
    const shown = board?.querySelector(".board");
    if (!shown) return;
    board.tabIndex = 0;
    board.setAttribute("role", "application");
    board.setAttribute("aria-label", "Picture of the take. Arrows move, Shift and arrows select, "
      + "Enter redraws, Delete removes a region, Escape clears, Control Z undoes, X compares.");
    if (shown.dataset.read) return;
    shown.dataset.read = "yes";
    const former = facts;
    facts = JSON.parse(shown.dataset.facts);
    const shape = (it) => JSON.stringify([it?.edges, it?.hertz, it?.levels]);
    if (shape(former) !== shape(facts)) {
      regions = [];
      cursor = anchor = null;
    }
    draw();
  };
  new MutationObserver(read).observe(document.body, { childList: true, subtree: true });
  read();

  window.distillPrior.board = { start, clear };
}
