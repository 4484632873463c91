// Runs in the page: what does not fit the width that the window has now.
// code: cells with a line longer than the column; scrolled: formulas in a box that scrolls;
// cut: formulas that no scrolling shows; hidden: verdicts outside of their table's box;
// nameless: table cells below a hidden head without the name of their column.
() => {
  const shown = (e) => e.getClientRects().length > 0;
  const text = (e) => e.textContent.trim().slice(0, 60);
  const moves = (e) => /auto|scroll/.test(getComputedStyle(e).overflowX);
  const found = { code: [], scrolled: [], cut: [], hidden: [], nameless: [] };

  for (const pre of document.querySelectorAll("main article .cell_input pre")) {
    const over = pre.scrollWidth - pre.clientWidth;
    if (shown(pre) && over > 1) found.code.push(`${over} px: ${text(pre)}`);
  }
  for (const formula of document.querySelectorAll("main article mjx-container > mjx-math")) {
    if (!shown(formula)) continue;
    const right = formula.getBoundingClientRect().right;
    for (let box = formula.parentElement; box.tagName !== "ARTICLE"; box = box.parentElement) {
      const style = getComputedStyle(box);
      if (style.overflowX === "visible" || right <= box.getBoundingClientRect().right + 1) continue;
      const reached = moves(box) && box.tabIndex === 0;
      if (!box.closest(".pst-scrollable-table-container")) {
        found[reached ? "scrolled" : "cut"].push(text(formula.parentElement));
      }
      break;
    }
  }
  for (const verdict of document.querySelectorAll("main article td.icl-column-verdict")) {
    const box = verdict.closest(".pst-scrollable-table-container").getBoundingClientRect();
    const edge = document.createRange();
    edge.selectNodeContents(verdict);
    if (edge.getBoundingClientRect().right > box.right + 1) found.hidden.push(text(verdict));
  }
  for (const cell of document.querySelectorAll("main article table.icl-table td")) {
    const head = cell.closest("table").querySelector("thead");
    const name = getComputedStyle(cell, "::before").content;
    if (head && !shown(head) && (name === "none" || name === "normal")) found.nameless.push(text(cell));
  }
  for (const name of Object.keys(found)) found[name] = found[name].slice(0, 8);
  return found;
}
