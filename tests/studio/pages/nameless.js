() => {
  // What has no name for a screen reader, ids that stand twice, and references that lead nowhere.
  const text = (ids) =>
    ids.split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join("");
  const own = (element) =>
    element.matches("input, select, textarea, canvas, img") ? "" : element.textContent.trim();
  const name = (element) =>
    element.getAttribute("aria-label") ||
    text(element.getAttribute("aria-labelledby") ?? "") ||
    [...(element.labels ?? [])].map((label) => label.textContent).join("") ||
    own(element) ||
    element.alt ||
    element.title;
  const interactive =
    "button, input, select, textarea, a[href], summary, canvas[role], [tabindex], [role=img]";
  const nameless = [...document.querySelectorAll(interactive)]
    .filter((one) => one.checkVisibility() && !one.closest("[aria-hidden=true]") && !name(one))
    .map((one) => one.outerHTML.slice(0, 120));
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  const twice = ids.filter((id, at) => ids.indexOf(id) !== at);
  const dangling = ["aria-describedby", "aria-labelledby"]
    .flatMap((way) => [...document.querySelectorAll(`[${way}]`)].map((one) => one.getAttribute(way)))
    .flatMap((value) => value.split(" "))
    .filter((id) => !document.getElementById(id));
  const silent = [...document.querySelectorAll("img:not([alt])")].map((one) => one.outerHTML);
  return [...nameless, ...twice, ...dangling, ...silent];
}
