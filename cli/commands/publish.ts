import { counted } from '../../shared/counted.ts';
import type { Bus } from '../../shared/ports.ts';
import { defineCommand, type Invocation } from '../command.ts';
import {
  connectionOptions,
  connectionSettings,
  flag,
  integer,
  oneOf,
  positive,
  string,
  value,
  valueOr,
} from '../options.ts';

const options = {
  ...connectionOptions,
  fps: value('--fps <n>', 'frames a second; default: 5 of files and cameras, unlimited of a stream', positive),
  loop: flag('--loop', 'start over after the last file, until stopped'),
  qos: valueOr(
    '--qos <0|1>',
    'MQTT quality of service; 1 waits for the acknowledgement of the broker',
    oneOf('0', '1'),
    '1',
  ),
  model: value('--model <name>', 'the model whose result --wait waits for; default: the first result', string),
  wait: flag('--wait', 'send each frame after the result of the one before, and print the results'),
  timeout: valueOr('--timeout <s>', 'how long --wait waits for a result, seconds', integer(1, 3600), 30),
};

/** How often it is looked whether central is still there, ms. */
const LOOK_MS = 1000;

/** `tessera publish CAMERA FILE... | -`: pictures from files, folders or a stream, as a camera sends them. */
export const command = defineCommand({
  arguments: '<camera> <files...>',
  description:
    'Sends pictures to a running cluster as the camera CAMERA does. FILE is a JPEG or PNG file, a folder of them, a ' +
    'source of a camera as in docs/home.md (rtsp://..., http://..., /dev/video0, rpicam, a video), or - for a stream of ' +
    'JPEGs on standard input. Each frame gets an id (the file name, a run number), which its result repeats.',
  options,
  examples: [
    ['publish front cat.jpg --wait', 'one picture, and what was found in it'],
    ['publish front pictures/ --fps 10 --loop', 'a folder as a camera of ten frames a second'],
    ['publish front rtsp://10.0.0.7/sub', 'an IP camera, until stopped'],
    ['publish front - --fps 5 < recording.mjpeg', 'a stream of JPEGs from a file'],
  ],
  async run(invocation) {
    const { args, options, out, signal } = invocation;
    const [camera, ...paths] = args as [string, ...string[]];
    await checkArguments(camera, paths, options);
    const { config } = await invocation.config(await connectionSettings(options));
    const [{ connectCommand, openLog }, { topics }, { sendFrames }, { framesOf }, { followAudience, whyUnheard }] =
      await Promise.all([
        import('../connect.ts'),
        import('../../shared/protocol/topics.ts'),
        import('../send-frames.ts'),
        import('../frame-sources.ts'),
        import('../audience.ts'),
      ]);
    const log = await openLog(config, 'publish');
    const bus: Bus = await connectCommand(config, 'publish', log);
    try {
      const names = topics(config.mqtt.base_topic);
      // Looked up beside the first frames, which need not wait for it.
      const audience = await followAudience(bus, names, false);
      let said: string | undefined;
      const remark = (): void => {
        const text = whyUnheard(audience.now());
        if (text !== undefined && said !== text) out.note(text);
        if (text === undefined && said !== undefined) out.note('central is online');
        said = text;
      };
      const look = setInterval(remark, LOOK_MS);
      const isKnown = audience.settled.then(remark);
      const counts = await sendFrames({
        bus,
        topics: names,
        camera,
        frames: framesOf(paths, {
          loop: options.loop,
          fps: options.fps,
          signal,
          note: (text) => out.note(text),
          bus,
          log,
        }),
        qos: options.qos === '1' ? 1 : 0,
        model: options.model,
        waitMs: options.wait ? options.timeout * 1000 : undefined,
        signal,
        onResult: await resultPrinter(invocation),
      }).finally(() => clearInterval(look));
      await isKnown;
      out.note(`${counted(counts.sent, 'frame')} sent${options.wait ? `, ${counts.answered} answered` : ''}`);
      return options.wait && counts.failed > 0 ? 1 : 0;
    } finally {
      await bus.stop();
    }
  },
});

async function checkArguments(
  camera: string,
  paths: readonly string[],
  { loop, model, wait }: { readonly loop: boolean; readonly model: string | undefined; readonly wait: boolean },
): Promise<void> {
  const { TesseraError } = await import('../../shared/errors.ts');
  if (model !== undefined && !wait) {
    throw new TesseraError('TESSERA_USAGE', '--model names the result that --wait waits for, and there is no --wait', {
      hint: 'add --wait; which models a camera gets is in its configuration (cameras.*.models)',
    });
  }
  const { isName } = await import('../../shared/protocol/topics.ts');
  if (!isName(camera)) {
    throw new TesseraError('TESSERA_USAGE', `${JSON.stringify(camera)} cannot be the name of a camera`, {
      hint: 'a camera is named with 1 to 64 of A-Z, a-z, 0-9, _ and -; files come after it',
    });
  }
  if (paths.includes('-') && (paths.length > 1 || loop)) {
    throw new TesseraError(
      'TESSERA_USAGE',
      `- (standard input) goes with no other ${loop ? 'use of --loop' : 'file'}`,
      {
        hint: 'name files, or - alone',
      },
    );
  }
}

async function resultPrinter({ json, out }: Pick<Invocation, 'json' | 'out'>) {
  const { resultLine } = await import('../result-line.ts');
  return (result: Parameters<typeof resultLine>[0]): void => {
    if (json) out.json(result);
    else out.line(resultLine(result));
  };
}
