() => {
  // Pairs of colours that stand on one another with a contrast below 4.5 to 1 (WCAG 2.2, 1.4.3).
  const style = getComputedStyle(document.documentElement);
  const light = (name) => {
    const hex = style.getPropertyValue(name).trim();
    const parts = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255);
    const [r, g, b] = parts.map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => {
    const [low, high] = [light(a), light(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const pairs = [
    ["--ink", "--sheet"],
    ["--soft", "--sheet"],
    ["--faint", "--sheet"],
    ["--soft", "--sunk"],
    ["--soft", "--map"],
    ["--accent", "--sheet"],
    ["--accent", "--accent-wash"],
    ["--accent-ink", "--accent"],
    ["--bad", "--bad-wash"],
    ["--good", "--raised"],
    ["--paper", "--ink"],
  ];
  return pairs.filter(([a, b]) => ratio(a, b) < 4.5).map(([a, b]) => `${a} on ${b}: ${ratio(a, b)}`);
}
