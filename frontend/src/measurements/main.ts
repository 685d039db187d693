/** Moves through the slices of all arms together: each arm's picture is a window onto its contact sheet. */
import { placeOf, readSheet } from './sheet.ts';

/** Shows slice `number` of one arm, or says that its sheet does not hold it. */
function show(picture: HTMLElement, number: number): void {
  const place = placeOf(readSheet(picture.dataset['sheet'] ?? ''), number);
  picture.querySelector<HTMLElement>('.tile')!.hidden = place === null;
  picture.querySelector<HTMLElement>('.none')!.hidden = place !== null;
  if (place === null) return;
  picture.style.setProperty('--x', String(place.x));
  picture.style.setProperty('--y', String(place.y));
}

for (const rail of document.querySelectorAll<HTMLElement>('.measured .rail')) {
  const slider = rail.querySelector<HTMLInputElement>('input[type=range]')!;
  const said = rail.querySelector<HTMLOutputElement>('output')!;
  const pictures = rail.parentElement!.querySelectorAll<HTMLElement>('.slice');
  const follow = (): void => {
    said.value = `${slider.value} (${slider.min} to ${slider.max})`;
    slider.setAttribute('aria-valuetext', `slice ${slider.value}, ${slider.min} to ${slider.max}`);
    for (const picture of pictures) show(picture, slider.valueAsNumber);
  };
  slider.addEventListener('input', follow);
  follow();
  rail.hidden = false;
}
