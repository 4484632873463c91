// A wide formula scrolls in its own box. Make the box reachable by keyboard, so that the arrow keys move it.
// A formula in a sentence is wide if it does not fit the text it stands in: then it gets a line of its own.
function markWideFormulas() {
  for (const box of document.querySelectorAll("span.math")) {
    const formula = box.querySelector("mjx-container > mjx-math");
    if (!formula || box.getClientRects().length === 0) continue;
    box.classList.remove("icl-wide");
    box.classList.toggle("icl-wide", formula.getBoundingClientRect().right > box.getBoundingClientRect().right + 1);
  }
}
function reachFormulas() {
  markWideFormulas();
  for (const box of document.querySelectorAll("mjx-container, .math, .cell_output")) {
    const scrolls = box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight;
    const moves = /auto|scroll/.test(getComputedStyle(box).overflowX);
    if (scrolls && moves && box.clientWidth > 0) box.tabIndex = 0;
  }
}
window.addEventListener("load", () => {
  const typeset = window.MathJax && window.MathJax.startup && window.MathJax.startup.promise;
  Promise.resolve(typeset).then(reachFormulas);
  window.addEventListener("resize", reachFormulas);
});
