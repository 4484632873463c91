// What a link leads to is shown beside it. The first pointer or focus on a link of the text loads the scripts
// and this page's previews (sphinx-tippy wrote them, book_previews.py chose them); a page nobody hovers stays light.
(() => {
  const files = document.currentScript.dataset.files.split(" ");
  const LINKS = "main article a.reference.internal";
  const script = (src) =>
    new Promise((done, failed) => {
      document.head.append(Object.assign(document.createElement("script"), { src, onload: done, onerror: failed }));
    });

  let typeset = Promise.resolve(); // MathJax does one thing at a time
  function typesetOnce(instance) {
    const { popper } = instance;
    if (popper.dataset.typeset || !popper.querySelector(".math") || !window.MathJax?.startup) return;
    popper.dataset.typeset = "waits";
    typeset = typeset
      .then(() => MathJax.startup.promise)
      .then(() => MathJax.typesetPromise([popper]))
      .catch((error) => console.error(error))
      .then(() => {
        popper.dataset.typeset = "done";
        instance.popperInstance?.update();
      });
  }

  async function prepare() {
    for (const file of files) await script(file);
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    tippy.setDefaultProps({
      appendTo: () => document.body,
      aria: { content: "describedby", expanded: false },
      touch: false, // a tap follows the link
      ...(still && { duration: 0 }),
      onCreate: ({ reference }) => reference.removeAttribute("title"), // else the browser shows that, too
      onMount: typesetOnce,
    });
    document.addEventListener("keydown", (event) => event.key === "Escape" && tippy.hideAll());
    const make = window.onload; // sphinx-tippy waits for the page's load, which is long over
    window.onload = null;
    make?.();
    const link = [...document.querySelectorAll(LINKS)].find((e) => e.matches(":hover, :focus"));
    link?._tippy?.show();
  }

  const first = (event) => {
    if (event.pointerType === "touch" || !event.target.closest?.(LINKS)) return;
    for (const kind of ["pointerover", "focusin"]) document.removeEventListener(kind, first);
    prepare();
  };
  for (const kind of ["pointerover", "focusin"]) document.addEventListener(kind, first);
})();
