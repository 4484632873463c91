// A wide formula scrolls in its own box. Make the box reachable by keyboard, so that the arrow keys move it.
function reachFormulas() {
  for (const box of document.querySelectorAll("mjx-container, div.math, .cell_output")) {
    const scrolls = box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight;
    if (scrolls && box.clientWidth > 0) box.tabIndex = 0;
  }
}
window.addEventListener("load", () => {
  const typeset = window.MathJax && window.MathJax.startup && window.MathJax.startup.promise;
  Promise.resolve(typeset).then(reachFormulas);
  window.addEventListener("resize", reachFormulas);
});
