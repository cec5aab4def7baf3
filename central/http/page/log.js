import { html } from './html.js';
import { clock } from './text.js';

/** @import { ApiLogLine } from '../api.ts' */

/**
 * What central complained about, the newest first.
 * @param {{ lines: readonly ApiLogLine[] }} props
 */
export function Log({ lines }) {
  if (lines.length === 0) return html`<h1>Log</h1><p>Central has not complained since it started.</p>`;
  return html`
    <h1>Log</h1>
    <ol class="log" reversed>
      ${lines
        .toReversed()
        .map(
          ({ time, level, text }) => html`<li class=${level}><time>${clock(time)}</time> <b>${level}</b> ${text}</li>`,
        )}
    </ol>
  `;
}
