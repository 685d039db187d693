/** Draws the figures of the results page. Each has its specification beside it, made on the server. */
import embed, { type VisualizationSpec } from 'vega-embed';
import { expressionInterpreter } from 'vega-interpreter';
import { offerToSave } from './save.ts';

/** The specification that stands behind a figure's element. */
function specificationOf(figure: HTMLElement): VisualizationSpec | null {
  const text = figure.nextElementSibling;
  if (!(text instanceof HTMLScriptElement) || text.type !== 'application/json') return null;
  return JSON.parse(text.textContent ?? 'null') as VisualizationSpec | null;
}

/** Draws one figure as SVG. Expressions are interpreted, not compiled: the page's security policy forbids eval. */
async function draw(figure: HTMLElement): Promise<void> {
  const specification = specificationOf(figure);
  if (specification === null) return;
  try {
    await embed(figure, specification, {
      mode: 'vega-lite',
      renderer: 'svg',
      actions: false,
      ast: true,
      expr: expressionInterpreter,
      tooltip: { theme: 'custom' },
    });
    figure.dataset['drawn'] = 'true';
  } catch (error) {
    console.error(error);
    const fault = document.createElement('p');
    fault.className = 'figure-fault';
    fault.textContent = 'This figure cannot be drawn in this browser; its numbers are in the tables below.';
    figure.replaceChildren(fault);
  }
}

await Promise.all([...document.querySelectorAll<HTMLElement>('.figure')].map(draw));
document.querySelectorAll<HTMLElement>('.figures').forEach(offerToSave);
