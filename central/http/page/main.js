import { render } from 'preact';
import { useEffect, useReducer, useState } from 'preact/hooks';
import { Cameras } from './cameras.js';
import { Fleet } from './fleet.js';
import { Frame } from './frame.js';
import { html } from './html.js';
import { Live } from './live.js';
import { Log } from './log.js';
import { Login } from './login.js';
import { Plan } from './plan.js';
import { Settings } from './settings.js';

/** The views, in the order of their keys 1, 2, ...; the first one is shown at first. */
const VIEWS = /** @type {const} */ (['cameras', 'frame', 'nodes', 'plan', 'settings', 'log']);

const live = new Live();

/** The view and what it is about, from the part of the address behind `#`: `frame/front`. */
function place() {
  const [view = '', about = ''] = location.hash.slice(1).split('/');
  return { view: VIEWS.find((name) => name === view) ?? VIEWS[0], about: decodeURIComponent(about) };
}

function Page() {
  const [, refresh] = useReducer((/** @type {number} */ count) => count + 1, 0);
  const [{ view, about }, setPlace] = useState(place);
  useEffect(() => {
    live.onChange = () => refresh(undefined);
    const onMove = () => setPlace(place());
    const onKey = (/** @type {KeyboardEvent} */ event) => {
      if (
        event.ctrlKey ||
        event.metaKey ||
        event.altKey ||
        event.target instanceof HTMLInputElement ||
        event.target instanceof HTMLSelectElement
      )
        return;
      const name = VIEWS[Number(event.key) - 1];
      if (name !== undefined) location.hash = name;
    };
    addEventListener('hashchange', onMove);
    addEventListener('keydown', onKey);
    void live.start().catch(() => setTimeout(() => location.reload(), 2000));
    return () => {
      removeEventListener('hashchange', onMove);
      removeEventListener('keydown', onKey);
    };
  }, []);
  const { session, state } = live;
  if (session === undefined) return html`<p class="wait">Connecting …</p>`;
  if (session.role === null) return html`<${Login} live=${live} />`;
  if (state === undefined) return html`<p class="wait">Waiting for central …</p>`;
  return html`
    <a class="skip" href="#main">Skip to content</a>
    <header>
      <b class="name">Tessera</b>
      <nav aria-label="Views">
        ${VIEWS.map(
          (name, k) =>
            html`<a key=${name} href="#${name}" title="key ${k + 1}" aria-current=${name === view ? 'page' : undefined}>${name}</a>`,
        )}
      </nav>
      <${Health} />
      ${session.user !== null && html`<button class="plain" onClick=${() => live.logout()}>${session.user}: log out</button>`}
    </header>
    <main id="main" tabindex="-1" data-view=${view}>
      ${view === 'cameras' && html`<${Cameras} live=${live} state=${state} />`}
      ${view === 'frame' && html`<${Frame} live=${live} state=${state} camera=${about} />`}
      ${view === 'nodes' && html`<${Fleet} state=${state} />`}
      ${view === 'plan' && html`<${Plan} state=${state} />`}
      ${view === 'settings' && html`<${Settings} live=${live} mayChange=${session.role === 'admin'} />`}
      ${view === 'log' && html`<${Log} lines=${live.lines} />`}
    </main>
  `;
}

/** What is wrong now, in a line. */
function Health() {
  const { state, isConnected } = live;
  const { central, nodes } = /** @type {import('../api.ts').ApiState} */ (state);
  const away = Object.values(nodes).filter(({ presence }) => presence !== 'online').length;
  const [level, text] = !isConnected
    ? ['bad', 'no connection to central']
    : !central.broker_connected
      ? ['bad', 'central has no connection to the broker']
      : central.phase !== 'active'
        ? ['warn', `central is ${central.phase}`]
        : away > 0
          ? ['warn', `${away} of ${Object.keys(nodes).length - 1} nodes away`]
          : ['good', `${Object.keys(nodes).length - 1} nodes`];
  return html`<span class="health ${level}" role="status">${text}</span>`;
}

render(html`<${Page} />`, /** @type {HTMLElement} */ (document.getElementById('page')));
