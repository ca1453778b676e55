// The keys of the board. They act only while it has the focus. Runs after board.js.
() => {
  const { clear, move, playOrPause, removeAtCursor } = window.distillPrior.board;
  const click = (name) => document.querySelector(`#distill-prior-${name}`)?.click();
  const alternatives = () => document.querySelectorAll("#distill-prior-alternatives input");

  const arrows = {
    arrowleft: [-1, 0], arrowright: [1, 0], arrowup: [0, 1], arrowdown: [0, -1],
  };
  const keys = {
    enter: () => click("redraw"),
    r: () => click("redraw"),
    delete: removeAtCursor,
    backspace: removeAtCursor,
    escape: clear,
    x: () => click("switch"),
    a: () => click("switch"),
    " ": playOrPause,
  };
  const actionOf = (event) => {
    const key = event.key.toLowerCase();
    if (event.altKey) return null;
    if (event.ctrlKey || event.metaKey) {
      if (key === "z") return () => click(event.shiftKey ? "redo" : "undo");
      return key === "y" ? () => click("redo") : null;
    }
    if (key in arrows) return () => move(...arrows[key], event.shiftKey);
    if (/^[0-4]$/.test(key)) return () => alternatives()[key]?.click();
    return keys[key];
  };

  document.addEventListener("keydown", (event) => {
    if (event.target.id !== "distill-prior-board") return;
    const action = actionOf(event);
    if (!action) return;
    event.preventDefault();
    action();
  });
}
