// Runs in the page: what axe-core finds. In light by all its rules, everywhere.
// In dark the page has the same elements at the same places in other colours, so only the contrast
// is asked, and once for each look: text of one colour, size and weight on one ground.
async (mode) => {
  const styles = new Map();
  const style = (e) => styles.get(e) ?? styles.set(e, getComputedStyle(e)).get(e);
  const grounds = new Map();
  // what lies behind the text: the backgrounds and opacities from the root down to the element
  const ground = (e) => {
    if (!e) return "";
    if (!grounds.has(e)) {
      const s = style(e);
      const own = [s.backgroundColor, s.backgroundImage, s.opacity, s.filter, s.mixBlendMode].join();
      const above = ground(e.parentElement);
      const plain = "rgba(0, 0, 0, 0),none,1,none,normal";
      grounds.set(e, own === plain ? above : `${above};${own}`);
    }
    return grounds.get(e);
  };
  const text = (e) => {
    const s = style(e);
    return [s.color, s.fontSize, s.fontWeight, s.textShadow, s.webkitTextStrokeWidth].join();
  };
  const speaks = (e) =>
    e.matches("input, select, textarea") ||
    [...e.childNodes].some((child) => child.nodeType === Node.TEXT_NODE && child.data.trim());
  const shows = (e) => {
    const box = e.getBoundingClientRect();
    return box.width > 1 && box.height > 1 && e.checkVisibility({ visibilityProperty: true });
  };
  const looks = new Map();
  const eachLookOnce = () => {
    for (const e of document.body.querySelectorAll("*")) {
      if (e.namespaceURI.endsWith("xhtml") && speaks(e) && shows(e)) {
        const look = `${text(e)} on ${ground(e)}`;
        if (!looks.has(look)) looks.set(look, e);
      }
    }
    return [...looks.values()];
  };

  if (mode === "dark") {
    // formulas have the colour of the text around them, in thousands of elements without any text
    document.querySelectorAll("mjx-container").forEach((e) => e.replaceChildren());
  }
  const report = await axe.run(mode === "dark" ? { include: eachLookOnce() } : document, {
    resultTypes: ["violations"],
    preload: false, // it would fetch the style sheets again
    ...(mode === "dark" ? { runOnly: ["color-contrast"] } : {}),
  });
  const inside = (node) => Boolean(document.querySelector(node.target[0])?.closest("main article"));
  return report.violations.flatMap((rule) =>
    rule.nodes.map((node) => ({
      rule: rule.id,
      impact: rule.impact,
      inside: inside(node),
      target: node.target.join(" "),
      html: node.html.slice(0, 200),
      why: node.failureSummary,
    })),
  );
}
