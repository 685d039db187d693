/** The few lines that a small page needs instead of a framework. */

export type Child = Node | string | null | undefined | false;

export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Readonly<Record<string, string | boolean | undefined>> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    made.setAttribute(name, value === true ? '' : value);
  }
  made.append(...children.filter((child): child is Node | string => child !== null && child !== undefined && child !== false));
  return made;
}

export function button(className: string, ...children: Child[]): HTMLButtonElement {
  return element('button', { type: 'button', class: className }, ...children);
}

export function kbd(...signs: string[]): HTMLElement {
  return element('span', { class: 'signs' }, ...signs.map((sign) => element('kbd', {}, sign)));
}
