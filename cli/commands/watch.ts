import { defineCommand } from '../command.ts';
import { connectionOptions, connectionSettings, flag, integer, string, value } from '../options.ts';

/**
 * After this long without a result the command prints what it waits for, ms; it checks at this interval whether that
 * has changed.
 */
const QUIET_MS = 2000;
const LOOK_MS = 500;

/** `tessera watch`: one line for each prediction of a running cluster. */
export const command = defineCommand({
  description:
    'Follows a running cluster and prints a line for each result: time, camera, model, what was found, latency, nodes. ' +
    'With --json each line is the result object as published (`tessera schema result`).',
  options: {
    ...connectionOptions,
    camera: value('--camera <name>', 'only this camera', string),
    model: value('--model <name>', 'only this model', string),
    frames: value('--frames <n>', 'end after this many results', integer(1)),
    last: flag('--last', 'start with the last result of each camera, which the broker retains'),
  },
  examples: [
    ['watch', 'everything, until Ctrl-C'],
    ['watch --camera front --frames 1', 'the next result of one camera'],
    ['watch --json | jq .top.label', 'for programs'],
  ],
  async run({ options, json, out, signal, config: loadConfig }) {
    const { config } = await loadConfig(await connectionSettings(options));
    const [
      { connectCommand, openLog },
      { topics },
      { resultObject },
      { resultLine },
      { untilStopped },
      { awaited, followAudience },
    ] = await Promise.all([
      import('../connect.ts'),
      import('../../shared/protocol/topics.ts'),
      import('../../shared/protocol/messages/result.ts'),
      import('../result-line.ts'),
      import('../signals.ts'),
      import('../audience.ts'),
    ]);
    const log = await openLog(config, 'watch');
    const bus = await connectCommand(config, 'watch', log);
    const enough = new AbortController();
    let seen = 0;
    let heardAt = performance.now();
    const onResult = (topic: string, payload: Uint8Array): void => {
      if (enough.signal.aborted) return;
      const result = resultObject.safeParse(parseJson(payload));
      if (!result.success) {
        log.warn(`the message on ${topic} is not a result`);
        return;
      }
      if (json) out.json(parseJson(payload));
      else out.line(resultLine(result.data));
      heardAt = performance.now();
      seen++;
      if (seen === options.frames) enough.abort();
    };
    const names = topics(config.mqtt.base_topic);
    const filter = names.result(options.camera ?? '+', options.model ?? '+');
    await bus.subscribe(filter, 1, ({ topic, payload, retained }) => {
      if (!retained || options.last) onResult(topic, payload);
    });
    const audience = await followAudience(bus, names, true);
    let said = '';
    /** Prints what the command waits for: once, and again when it changes. */
    const remark = setInterval(() => {
      if (performance.now() - heardAt < QUIET_MS) return;
      const text = awaited(audience.now(), options);
      if (text !== said) out.note(text);
      said = text;
    }, LOOK_MS);
    await untilStopped(AbortSignal.any([signal, enough.signal]));
    clearInterval(remark);
    await bus.stop();
    return 0;
  },
});

function parseJson(payload: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(payload));
  } catch {
    return undefined;
  }
}
