/** After the last sign-off: thanks, counts, what happens next. */
import { button, element } from './dom.ts';

export function doneScreen(
  series: number,
  criteria: number,
  study: string,
  start: string,
  mayLook: boolean,
  look: () => void,
): HTMLElement {
  const again = button('quiet', 'Look at my series again');
  again.addEventListener('click', look);
  return element(
    'section',
    { class: 'done', 'aria-label': 'Finished' },
    element(
      'div',
      { class: 'card' },
      element('h1', {}, 'Thank you.'),
      element('p', {}, `All ${series} series of “${study}” are signed off: ${series * criteria} answers.`),
      element(
        'p',
        { class: 'mute' },
        mayLook
          ? 'Until the study is locked you can look at your series again and correct a grade with a short reason.'
          : 'There is nothing more to do. In this study, signed-off series are not opened again.',
      ),
      element('p', { class: 'done-save', role: 'status' }),
      element('div', { class: 'row' }, mayLook && again, element('a', { class: 'primary', href: start }, 'To the start page')),
    ),
  );
}
