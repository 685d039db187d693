/** Making elements. Text always goes in as text. */

type Attributes = Record<string, string | number | boolean | EventListener | undefined>;

/** An element with attributes (functions become listeners, false and undefined are left out) and children. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: (Node | string | null | undefined)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') made.addEventListener(name, value);
    else if (value === true) made.setAttribute(name, '');
    else if (value !== false && value !== undefined) made.setAttribute(name, String(value));
  }
  made.append(...children.filter((child): child is Node | string => child !== null && child !== undefined && child !== ''));
  return made;
}

/** A small button in a row. */
export function button(label: string, title: string, press: () => void, name = 'small'): HTMLButtonElement {
  return element('button', { type: 'button', class: name, title, click: press }, label);
}
