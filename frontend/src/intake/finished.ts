/** The finished series: raw data has become pictures. */
import { button, element } from './elements';
import type { PageContent, SequenceGroup } from './types';

export class FinishedSeriesList {
  private readonly drawn = new Map<string, { state: string; made: HTMLElement }>();

  constructor(
    private readonly place: HTMLElement,
    private readonly card: HTMLElement,
    private readonly steer: (job: string, verb: 'retry' | 'cancel') => void,
  ) {}

  show(content: PageContent): void {
    this.card.toggleAttribute('hidden', content.sequences.length === 0);
    const wanted = content.sequences.map((group) => {
      const state = JSON.stringify(group);
      const before = this.drawn.get(group.id);
      if (before?.state === state) return before.made;
      const made = this.group(group);
      this.drawn.set(group.id, { state, made });
      return made;
    });
    const now = [...this.place.children];
    if (now.length !== wanted.length || wanted.some((made, index) => now[index] !== made))
      this.place.replaceChildren(...wanted);
  }

  private group(group: SequenceGroup): HTMLElement {
    const { job } = group;
    const head = element(
      'h3',
      {},
      element('span', {}, `${group.subject} · ${group.sequence}`),
      element('span', { class: `pill ${group.kind}` }, group.stage),
    );
    const made = element('section', { class: 'group', 'data-group': group.id }, head);
    if (group.kind === 'run') made.append(element('progress', { max: 1, value: group.fraction }));
    if (group.action || group.note) made.append(element('p', { class: 'note' }, [group.action, group.note].filter(Boolean).join(' ')));
    if (job && group.can_retry) made.append(button('Try again', 'Finish these series again', () => this.steer(job, 'retry')));
    if (group.series.length > 0) {
      made.append(
        element(
          'div',
          { class: 'pictures' },
          ...group.series.map((series) =>
            element(
              'figure',
              {},
              series.preview
                ? element('img', { src: series.preview, alt: `${group.subject}, ${group.sequence}, ${series.arm}: middle slice`, loading: 'lazy' })
                : null,
              element(
                'figcaption',
                {},
                element('span', {}, element('i', { class: 'swatch', style: `background:${series.colour}` }), series.arm),
                element('a', { href: series.lineage, title: `Where it came from (${series.size})` }, 'lineage'),
              ),
              series.made ? element('p', { class: series.is_clamped ? 'made clamped' : 'made' }, series.made) : null,
              series.remarks.length > 0
                ? element(
                    'details',
                    { class: 'made' },
                    element('summary', {}, `${series.remarks.length} remark${series.remarks.length === 1 ? '' : 's'}`),
                    ...series.remarks.map((remark) => element('p', {}, remark)),
                  )
                : null,
            ),
          ),
        ),
      );
    }
    return made;
  }
}
