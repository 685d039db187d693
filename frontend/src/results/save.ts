/** Saves figures as one SVG file, as a journal takes them. */
const SVG = 'http://www.w3.org/2000/svg';
const GAP = 14;
const TITLE_HEIGHT = 24;
const TEXT = { 'font-family': 'sans-serif', fill: '#1c232b' };

/** An element of SVG with its attributes and text. */
function element<Name extends 'rect' | 'text'>(name: Name, attributes: Record<string, string | number>, text = ''): SVGElementTagNameMap[Name] {
  const one = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) one.setAttribute(key, String(value));
  one.textContent = text;
  return one;
}

/** The colours' names below the group on the page, in one line at a height, and how far it reaches. */
function legendOf(group: HTMLElement, y: number): { entries: SVGElement[]; width: number } {
  let x = 6;
  const entries = [...(group.parentElement?.querySelectorAll<HTMLElement>('.legend span') ?? [])].flatMap((entry) => {
    const swatch = entry.querySelector('i');
    const at = x;
    x += entry.getBoundingClientRect().width + GAP;
    const text = element('text', { ...TEXT, x: swatch ? at + 16 : at, y: y + 12, 'font-size': 12 }, entry.textContent?.trim() ?? '');
    return swatch
      ? [element('rect', { x: at, y: y + 2, width: 10, height: 10, rx: 2, fill: getComputedStyle(swatch).backgroundColor }), text]
      : [text];
  });
  return { entries, width: x };
}

/** The figures of a group that are drawn, side by side or below each other as on the page, under a title. */
function together(group: HTMLElement, title: string): SVGSVGElement | null {
  const panels = [...group.querySelectorAll<SVGSVGElement>('.figure[data-drawn] svg')];
  if (panels.length === 0) return null;
  const across = getComputedStyle(group).display === 'flex';
  const whole = document.createElementNS(SVG, 'svg');
  const ground = whole.appendChild(element('rect', { fill: '#fff' }));
  whole.append(element('text', { ...TEXT, x: 6, y: 16, 'font-size': 13 }, title));
  let [right, bottom, x, y] = [0, 0, 0, TITLE_HEIGHT];
  for (const panel of panels) {
    const { width, height } = panel.getBoundingClientRect();
    const copy = panel.cloneNode(true) as SVGSVGElement;
    for (const [name, value] of Object.entries({ x, y, width, height })) copy.setAttribute(name, String(value));
    whole.append(copy);
    right = Math.max(right, x + width);
    bottom = Math.max(bottom, y + height);
    if (across) x += width + GAP;
    else y += height + GAP;
  }
  const legend = legendOf(group, bottom + 6);
  whole.append(...legend.entries);
  if (legend.entries.length > 0) bottom += TITLE_HEIGHT;
  right = Math.max(right, legend.width);
  for (const one of [whole, ground]) {
    one.setAttribute('width', String(right));
    one.setAttribute('height', String(bottom));
  }
  whole.setAttribute('viewBox', `0 0 ${right} ${bottom}`);
  return whole;
}

/** A button below the group that saves it under the name that the page gives it. */
export function offerToSave(group: HTMLElement): void {
  const { file, title } = group.dataset;
  if (file === undefined || title === undefined) return;
  const button = document.createElement('button');
  button.type = 'button';
  button.className = 'save-figures';
  button.textContent = 'Save as SVG';
  button.setAttribute('aria-label', `Save as SVG: ${title}`);
  button.addEventListener('click', () => {
    const whole = together(group, title);
    if (whole === null) return;
    const text = `<?xml version="1.0" encoding="UTF-8"?>\n${new XMLSerializer().serializeToString(whole)}\n`;
    const address = URL.createObjectURL(new Blob([text], { type: 'image/svg+xml' }));
    const link = document.createElement('a');
    link.href = address;
    link.download = `${file}.svg`;
    link.click();
    URL.revokeObjectURL(address);
  });
  group.after(button);
}
