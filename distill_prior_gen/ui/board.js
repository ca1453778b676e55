// The board of the Prior tab: selecting regions, the playhead, and the keys. Runs after tab.js.
() => {
  const find = (selector) => document.querySelector(`#distill-prior-${selector}`);
  const player = () => find("player audio");
  const DRAG_PX = 5; // a shorter movement is a click
  const ROW_PX = 14; // a drag that is less high selects all rows
  const CONTEXT_S = 0.5; // what is heard before and after a cell or a region

  let facts = null; // what the server says of the shown take
  let regions = []; // columns first..last and rows low..high, counted from 0
  let cursor = null; // column, row and level of a cell
  let anchor = null; // where the selection with the keyboard began

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

  const band = (low, high) => {
    const [from, to] = [facts.hertz[low], facts.hertz[high + 1]];
    const [unit, name] = to < 1000 ? [1, "Hz"] : [1000, "kHz"];
    const short = (hertz) => Number((hertz / unit).toPrecision(3));
    return `${short(from)} to ${short(to)} ${name}`;
  };

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
    return `${seconds(start)} to ${seconds(end)} s${all ? "" : `, ${band(region.low, region.high)}`}`;
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
    return `<b>${facts.levels[cursor.level]}</b>, ${seconds(start)} to ${seconds(end)} s, ${band(cursor.row, cursor.row)}: `
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

  const { play, resume } = window.distillPrior;
  const playAround = (spans) => {
    const start = Math.min(...spans.map(([begin]) => begin));
    const end = Math.max(...spans.map(([, stop]) => stop));
    play(Math.max(0, start - CONTEXT_S), end + CONTEXT_S);
  };
  const follow = () => {
    drawPlayhead();
    if (player()?.paused === false) requestAnimationFrame(follow);
  };
  for (const name of ["play", "seeked", "loadedmetadata", "timeupdate"]) {
    document.addEventListener(name, (event) => {
      if (event.target === player()) (name === "play" ? follow : drawPlayhead)();
    }, true);
  }

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
      if (audio && !audio.paused) play(from.time);
      else playAround([[from.time, from.time]]);
    }
    draw();
  });
  document.addEventListener("pointercancel", () => { // the page is scrolled
    if (!drag) return;
    regions = regions.filter((each) => each !== drag.region);
    drag = null;
    draw();
  });

  // ---- The cursor
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

  const playOrPause = () => {
    const audio = player();
    if (audio?.paused === false) audio.pause();
    else if (cursor) playAround([spanOf({ first: cursor.column, last: cursor.column })]);
    else audio?.play();
  };

  // ---- The page

  document.addEventListener("change", (event) => {
    if (event.target.closest("#distill-prior-levels")) drawLevels();
  });

  // A changed take goes on from the same place. If the player stands still, a new alternative is
  // heard where it is new.
  const audition = () => {
    if (player()?.paused && regions.length) resume(() => playAround(regions.map(spanOf)));
    else resume();
  };
  document.addEventListener("click", (event) => {
    const changed = (name) => event.target.closest(`#distill-prior-${name}`);
    if (changed("alternatives")) audition();
    else if (["undo", "redo", "switch"].some(changed)) resume();
  }, true);

  const start = () => {
    audition();
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

  window.distillPrior.board = { start, clear, move, playOrPause, removeAtCursor };
}
