// A choice question becomes a form: choose an option, check it, read what lies behind it.
// Without this script, and on paper, the list of options and the folded answer stay as they are.
(() => {
  const element = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };
  // what a list item holds, without the paragraph around it
  const contents = (item) => {
    const paragraph = item.querySelector(":scope > p");
    return [...(paragraph || item).childNodes];
  };

  function enhance(box) {
    const [given, reasons] = box.querySelectorAll("ol");
    const prompt = box.querySelector(".icl-choice-prompt");
    const says = element("div", { className: "icl-choice-says" });
    says.setAttribute("role", "status");
    says.setAttribute("aria-live", "polite");

    const inputs = [...given.children].map((item, index) => {
      const input = element("input", { type: "radio", name: box.id, autocomplete: "off" });
      // the list's own letter is not part of a label, and a formula alone is no name yet
      const letter = element("span", { className: "icl-choice-letter" }, `${"ABCDE"[index]}: `);
      item.replaceChildren(element("label", {}, input, letter, element("span", {}, ...contents(item))));
      return input;
    });

    const tell = (mark, start, more = []) => {
      box.dataset.said = mark;
      says.replaceChildren(element("p", {}, element("strong", {}, start), ...more));
    };
    const check = async () => {
      const at = inputs.findIndex((input) => input.checked);
      if (at < 0) return tell("nothing", "Choose an option first.");
      await window.MathJax?.startup?.promise; // formulas are copied as they are typeset
      const reason = reasons.children[at];
      const copies = contents(reason).map((node) => node.cloneNode(true));
      if (reason.classList.contains("icl-right")) return tell("right", "\u2713 ", copies);
      tell("wrong", `\u2717 Not ${"ABCDE"[at]}. `, [...copies, " Choose again, or open the answer."]);
    };

    const legend = element("legend", {}, ...contents(prompt));
    const button = element("button", { type: "submit" }, "Check my prediction");
    const form = element("form", {}, element("fieldset", {}, legend, given, button));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      check();
    });
    form.addEventListener("change", () => {
      box.dataset.said = "";
      says.replaceChildren();
    });
    prompt.replaceWith(form);
    form.after(says);
  }

  document.querySelectorAll(".icl-choice").forEach(enhance);
})();
