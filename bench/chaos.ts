import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { connect } from 'mqtt';
import { integer, oneOf, string, valueOr } from '../cli/options.ts';
import { Account, type Verdict } from './chaos/account.ts';
import { type Act, actsOf } from './chaos/acts.ts';
import { type Camera, hasPaho, startCamera } from './chaos/cameras.ts';
import { Stage } from './chaos/stage.ts';
import { defineBenchmark } from './harness/benchmark.ts';

const CAMERAS = ['front', 'side'];
const NODES = ['pi-1', 'pi-2', 'pi-3'];
const EVERY_MS = 100;
/** Mosquitto saves its queue at the end of a turn in which it acknowledges; a turn takes this long at most, ms. */
const MOSQUITTO_TURN_MS = 100;
/** How long after the last frame an acknowledged one may end; nothing takes longer than central's own limit. */
const PATIENCE_MS = 90_000;

/** Options of a chaos run. */
interface ChaosOptions {
  readonly broker: 'embedded' | 'mosquitto';
  readonly client: 'auto' | 'paho' | 'plain';
  readonly python: string;
  readonly seconds: number;
  readonly seed: number;
  readonly pictureKb: number;
}

/** Whether every acknowledged frame ends once while processes die. test/e2e/chaos.test.ts is the same, shorter. */
export const { description, usage, run } = defineBenchmark({
  question: 'does every acknowledged frame end once while nodes, central and broker die?',
  method:
    'Three nodes, central and a broker, each a process, and two cameras by other programs: ten frames a second each, QoS 1, ' +
    'sent again until they are acknowledged. Every five seconds a node, central, the broker, or two of them at once are ' +
    'killed, stopped or frozen, chosen by a seed, and are restarted a moment later. An app with a persistent ' +
    'session, which reconnects a second after it lost the broker, reads the results. Passed: every frame is ' +
    'acknowledged and has one result there; the same bytes may arrive again. Frames that Mosquitto acknowledged ' +
    'less than 100 ms before it was killed are counted apart: it saves after it acknowledges.',
  needs: 'for --broker mosquitto Mosquitto, for --client paho Python with paho-mqtt',
  notMeasured: 'a standby central (test/e2e/centrals.test.ts); power cuts.',
  options: {
    broker: valueOr(
      '--broker <kind>',
      'embedded or mosquitto (with persistence)',
      oneOf('embedded', 'mosquitto'),
      'embedded',
    ),
    client: valueOr(
      '--client <kind>',
      'paho, plain (of our own, nothing but sockets), or auto: paho where there is one',
      oneOf('auto', 'paho', 'plain'),
      'auto',
    ),
    python: valueOr('--python <path>', 'the Python that has paho-mqtt', string, 'python3'),
    seconds: valueOr('--seconds <n>', 'how long the cameras film', integer(1), 180),
    seed: valueOr('--seed <n>', 'of the acts', integer(0), 1),
    pictureKb: valueOr('--picture-kb <n>', 'the largest picture of the cameras, kB', integer(12), 120),
  },
  quick: { seconds: 15 },
  run: chaos,
});

async function chaos(options: ChaosOptions) {
  const { broker, seed, seconds, python, pictureKb } = options;
  const client = options.client === 'auto' ? (hasPaho(python) ? 'paho' : 'plain') : options.client;
  const acts = actsOf(seed, seconds, NODES);
  const stage = await Stage.open(broker, CAMERAS, NODES);
  const cameras: Camera[] = [];
  const account = new Account();
  const timeline: string[] = [];
  const began = performance.now();
  const now = (): number => (performance.now() - began) / 1000;
  const note = (text: string): void => {
    timeline.push(`${now().toFixed(2)} ${text}`);
    console.error(timeline.at(-1));
  };
  // Like an app that needs every result: it reconnects a second after each end of the broker, as Paho
  // does.
  const session = { clientId: 'chaos-observer', clean: false, protocolVersion: 4 } as const;
  const observer = connect(stage.broker.url, { ...session, reconnectPeriod: 1000, connectTimeout: 2000 });
  observer.on('error', () => {});
  observer.on('message', (_topic, payload, { retain }) => {
    if (!retain) account.result(payload.toString(), now());
  });
  observer.subscribe('tessera/result/+/+', { qos: 1 });
  try {
    for (const camera of CAMERAS) {
      const task = { port: stage.broker.port, camera, everyMs: EVERY_MS, maxBytes: pictureKb * 1000 };
      const started = startCamera(client, python, task, (what, frame) => account[what](frame, now()));
      cameras.push(await started);
    }
    for (const act of acts) {
      await pause(Math.max(0, act.at * 1000 - now() * 1000));
      note(told(act));
      if (broker === 'mosquitto' && act.how === 'kill' && act.targets.includes('broker'))
        account.unsaved(now() - MOSQUITTO_TURN_MS / 1000, now() + MOSQUITTO_TURN_MS / 1000);
      await stage.act(act);
      note(`  ${act.targets.join(' and ')} back`);
      for (const name of await stage.restartEnded()) note(`  ${name} had ended by itself, and is restarted`);
    }
    await pause(Math.max(0, (seconds - now()) * 1000));
    note('the cameras stop');
    const acknowledged = await Promise.race([
      Promise.all(cameras.map((camera) => camera.stop())),
      pause(PATIENCE_MS, undefined, { ref: false }),
    ]);
    note(acknowledged === undefined ? 'not everything is acknowledged' : 'everything is acknowledged');
    for (const until = performance.now() + PATIENCE_MS; account.open > 0 && performance.now() < until; ) {
      await stage.restartEnded();
      await pause(200);
    }
    // A second result of a frame arrives late.
    await pause(2000);
    const verdict = account.verdict();
    const pass =
      acknowledged !== undefined &&
      verdict.missing.length === 0 &&
      verdict.doubled.length === 0 &&
      verdict.acknowledged > 0;
    console.log(summary(verdict));
    const logs = pass ? undefined : await keep(stage, account, verdict, timeline);
    return {
      pass,
      broker,
      client,
      seed,
      seconds,
      picture_kb: pictureKb,
      acts: acts.length,
      ...verdict,
      missing: verdict.missing.length,
      unsaved: verdict.unsaved.length,
      doubled: verdict.doubled.length,
      ...(logs === undefined ? {} : { logs }),
    };
  } finally {
    for (const camera of cameras) camera.kill();
    observer.end(true);
    await stage.end();
  }
}

const told = ({ targets, how, forMs }: Act): string =>
  `${how} ${targets.join(' and ')} for ${(forMs / 1000).toFixed(1)} s`;

function summary({ acknowledged, ended, missing, unsaved, doubled, repeats }: Verdict): string {
  const ends = Object.entries(ended).map(([how, count]) => `${count} ${how}`);
  return (
    `${acknowledged} frames acknowledged: ${ends.join(', ')}; ${missing.length} without an end, ${doubled.length} with two ` +
    `that differ, ${repeats} results came again` +
    (unsaved.length === 0 ? '' : `; ${unsaved.length} acknowledged in the moment before Mosquitto was killed, and lost`)
  );
}

/** Reports faults with the events around them and keeps all logs; returns the folder. */
async function keep(stage: Stage, account: Account, verdict: Verdict, timeline: readonly string[]): Promise<string> {
  const wrong = [...verdict.missing, ...verdict.doubled];
  for (const frame of wrong.slice(0, 10)) {
    console.error(account.story(frame));
    const at = account.sentAt(frame);
    for (const line of timeline) if (Math.abs(Number.parseFloat(line) - at) < 8) console.error(`    ${line}`);
  }
  const folder = await mkdtemp(join(tmpdir(), 'tessera-chaos-'));
  for (const [name, text] of stage.logs()) await writeFile(join(folder, `${name}.log`), text);
  await writeFile(join(folder, 'frames.txt'), wrong.map((frame) => account.story(frame)).join('\n'));
  await writeFile(join(folder, 'timeline.txt'), timeline.join('\n'));
  console.error(`logs of all processes: ${folder}`);
  return folder;
}
