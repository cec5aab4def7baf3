import { useEffect, useState } from 'preact/hooks';
import { html } from './html.js';

/**
 * @import { ApiSettings } from '../api.ts'
 * @import { Live } from './live.js'
 */

/**
 * What changes without a restart.
 * @param {{ live: Live, mayChange: boolean }} props
 */
export function Settings({ live, mayChange }) {
  const [settings, setSettings] = useState(/** @type {ApiSettings | undefined} */ (undefined));
  const [said, say] = useState('');
  useEffect(() => void live.settings().then(setSettings), []);
  if (settings === undefined) return html`<h1>Settings</h1><p>Reading …</p>`;
  /** @param {string} camera @param {string} setting @param {string} value */
  const apply = async (camera, setting, value) => {
    say((await live.change({ camera, setting, value })) ?? `${setting} of ${camera} is ${value}.`);
    setSettings(await live.settings());
  };
  return html`
    <h1>Settings</h1>
    <p>They change at once, and are kept over a restart. ${!mayChange && 'Only an admin changes them.'}</p>
    <p role="status">${said}</p>
    <div class="cards">
      ${Object.entries(settings.cameras).map(
        ([camera, values]) => html`
          <fieldset class="card" key=${camera} disabled=${!mayChange}>
            <legend><h2>${camera}</h2></legend>
            ${Object.entries(values).map(
              ([setting, value]) => html`
                <label class="setting" key=${setting}>
                  <span>${setting.replaceAll('_', ' ')}</span>
                  <${Input}
                    value=${value}
                    bounds=${settings.numbers[setting]}
                    choices=${setting === 'model' ? settings.models : undefined}
                    onSet=${(/** @type {string} */ to) => apply(camera, setting, to)}
                  />
                </label>
              `,
            )}
          </fieldset>
        `,
      )}
    </div>
  `;
}

/**
 * @param {{ value: string, bounds?: ApiSettings['numbers'][string], choices?: readonly string[], onSet: (value: string) => void }} props
 */
function Input({ value, bounds, choices, onSet }) {
  if (choices !== undefined)
    return html`<select onChange=${(/** @type {{ currentTarget: HTMLSelectElement }} */ { currentTarget }) => onSet(currentTarget.value)}>
      ${choices.map((choice) => html`<option key=${choice} selected=${choice === value}>${choice}</option>`)}
    </select>`;
  /** @param {{ currentTarget: HTMLInputElement }} event */
  const onChange = ({ currentTarget }) =>
    onSet(bounds === undefined ? (currentTarget.checked ? 'ON' : 'OFF') : currentTarget.value);
  return bounds === undefined
    ? html`<input type="checkbox" role="switch" checked=${value === 'ON'} onChange=${onChange} />`
    : html`<input type="number" ...${bounds} value=${value} onChange=${onChange} required />`;
}
