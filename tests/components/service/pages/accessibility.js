// What is wrong with the page's accessibility, one sentence each. Contrast by WCAG 2.2 (1.4.3, 1.4.11), sizes of
// targets by 2.5.8. Evaluated in the page by the browser's driver, beside which the page's own policy holds.
() => {
  const wrong = [];
  const all = (selector) => [...document.querySelectorAll(selector)];
  const name = (e) => `${e.tagName.toLowerCase()}${e.id ? `#${e.id}` : ""} “${e.textContent.trim().slice(0, 30)}”`;
  const shown = (e) => e.checkVisibility({ checkVisibilityCSS: true }) && !e.closest(".hidden");

  // Colours: [r, g, b, a] of a computed style, laid over what is below.
  const parse = (text) => {
    const numbers = (text.match(/[\d.]+/g) || [0, 0, 0, 0]).map(Number);
    const scale = text.startsWith("color(") ? 255 : 1;
    const [r, g, b, a = 1] = numbers;
    return [r * scale, g * scale, b * scale, a];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const ground = (e) => {
    if (!e) return parse(getComputedStyle(document.body).backgroundColor);
    const own = parse(getComputedStyle(e).backgroundColor);
    return own[3] === 1 ? own : over(own, ground(e.parentElement));
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const contrast = (a, b) => {
    const [hi, lo] = [light(a), light(b)].sort((x, y) => y - x);
    return (hi + 0.05) / (lo + 0.05);
  };
  const opacity = (e) => e ? Number(getComputedStyle(e).opacity) * opacity(e.parentElement) : 1;
  const check = (e, colour, least, what) => {
    const below = ground(what === "text" ? e : e.parentElement);
    const top = parse(colour);
    const ratio = contrast(over([...top.slice(0, 3), top[3] * opacity(e)], below), below);
    if (ratio < least) wrong.push(`contrast ${ratio.toFixed(2)} of the ${what} of ${name(e)}`);
  };
  for (const e of all("body *")) {
    const text = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    const style = getComputedStyle(e);
    if (text && shown(e) && !["OPTION", "SCRIPT"].includes(e.tagName)) {
      check(e, e.closest("svg") ? style.fill : style.color, 4.5, "text");
    }
    if (e.matches("input:not([type=hidden]), select, textarea") && shown(e)) {
      check(e, style.color, 4.5, "text");
      check(e, style.borderTopColor, 3, "border");
    }
  }

  // Names, labels and captions.
  const ids = all("[id]").map((e) => e.id);
  ids.filter((id, n) => ids.indexOf(id) !== n).forEach((id) => wrong.push(`same id twice: ${id}`));
  for (const e of all("input:not([type=hidden]), select, textarea")) {
    if (!e.hidden && !e.labels.length && !e.ariaLabel) wrong.push(`no label: ${name(e)}`);
  }
  for (const e of all("[aria-describedby], [aria-labelledby], label[for]")) {
    const target = e.getAttribute("aria-describedby") || e.getAttribute("aria-labelledby") || e.htmlFor;
    if (!document.getElementById(target)) wrong.push(`no element ${target}, which ${name(e)} names`);
  }
  for (const e of all("a[href], button, summary")) {
    if (!(e.textContent.trim() || e.ariaLabel)) wrong.push(`no name: ${e.outerHTML.slice(0, 60)}`);
  }
  all("img:not([alt])").forEach((e) => wrong.push(`no alt: ${e.src}`));
  all("svg:not([aria-hidden=true] *):not([aria-hidden=true])").forEach((e) => {
    if (e.getAttribute("role") !== "img" || !e.ariaLabel) wrong.push("no name of a drawing");
  });
  for (const e of all("table")) {
    if (!e.caption || !e.caption.textContent.trim()) wrong.push(`no caption: ${name(e)}`);
    if (!e.querySelector("th[scope]")) wrong.push(`no header cell with a scope: ${name(e)}`);
  }

  // Structure.
  const levels = all("h1, h2, h3, h4, h5, h6").filter((e) => !e.closest("dialog")).map((e) => Number(e.tagName[1]));
  if (levels.filter((l) => l === 1).length !== 1) wrong.push("heading: not exactly one h1");
  levels.forEach((l, n) => { if (l > (levels[n - 1] || 0) + 1) wrong.push(`heading: h${l} after h${levels[n - 1]}`); });
  for (const [selector, count] of [["header", 1], ["main", 1], ["footer", 1]]) {
    if (all(`body > ${selector}`).length !== count) wrong.push(`landmark: ${selector}`);
  }
  all("nav").forEach((e) => { if (!e.ariaLabel) wrong.push("landmark: a nav without a name"); });
  if (!document.documentElement.lang || !document.title) wrong.push("no language or title");

  // Targets that are no part of a sentence are 24 pixels high and wide, or have that room.
  for (const e of all("button, summary, input:not([type=hidden]), select, textarea, nav a, .button")) {
    const box = e.getBoundingClientRect();
    if (shown(e) && !e.hidden && (box.height < 24 || box.width < 24)) wrong.push(`small target: ${name(e)}`);
  }
  return wrong;
}
