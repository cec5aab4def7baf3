import { randomUUID } from 'node:crypto';
import { ERROR_CODES, type ErrorCode, failureOf, TesseraError } from '../errors.ts';
import type { Bus, Log, Message, Unsubscribe } from '../ports.ts';
import { request, response } from '../protocol/messages/requests.ts';
import type { Topics } from '../protocol/topics.ts';
import { parse, type z } from '../schema.ts';

/**
 * Requests of commands to a running process, `<base>/request/<command>`, answered on `<base>/response/<command>` with
 * the same `transaction`. Only an admin, or a program on the broker's machine, may send them. Every client that may
 * read the base topic can read both, so neither contains a secret.
 */

/** A request handler: the schema of the request, and a function that makes the `data` of the response. */
export interface RequestHandler {
  readonly schema: z.ZodType;
  run(request: never): Promise<unknown>;
}

/** Types a handler by its schema. */
export const handler = <T>(schema: z.ZodType<T>, run: (request: T) => Promise<unknown>): RequestHandler => ({
  schema,
  run: run as (request: never) => Promise<unknown>,
});

/** Longest request or response that is read, bytes. */
const MAX_BYTES = 64 * 1024;
const ANSWER_MS = 5000;

/** Answers requests by command until the bus stops; a handler's TesseraError becomes the response. */
export async function answerRequests(
  bus: Bus,
  topics: Topics,
  handlers: Readonly<Record<string, RequestHandler>>,
  log: Log,
): Promise<void> {
  for (const [command, { schema, run }] of Object.entries(handlers)) {
    const answer = async (message: Message): Promise<void> => {
      const asked = readJson(message, request, `request ${command}`);
      const { transaction } = asked;
      let reply: z.infer<typeof response>;
      try {
        const wanted = parse(schema, asked, 'TESSERA_MESSAGE_INVALID', `request ${command}`);
        reply = { status: 'ok', data: await run(wanted as never), transaction };
      } catch (error) {
        const { code, message: text, hint } = failureOf(error);
        log.warn(`request ${command} failed: ${text}`, { code });
        reply = { status: 'error', error: text, code, ...(hint === undefined ? {} : { hint }), transaction };
      }
      await bus.publish(topics.response(command), JSON.stringify(reply), { qos: 1 });
    };
    await bus.subscribe(topics.request(command), 1, (message) => {
      if (message.retained) return;
      answer(message).catch((error: unknown) => log.warn(`a request is not answered: ${failureOf(error).message}`));
    });
  }
}

/**
 * Sends a request and waits for the response. Throws the error in the response, and TESSERA_BROKER where no process
 * answers or this connection may not send requests.
 */
export async function askRequest<T>(
  bus: Bus,
  topics: Topics,
  command: string,
  body: Readonly<Record<string, unknown>>,
  answer: z.ZodType<T>,
  timeoutMs = ANSWER_MS,
): Promise<T> {
  const transaction = randomUUID();
  const asked = JSON.stringify({ ...body, transaction });
  if (Buffer.byteLength(asked) > MAX_BYTES)
    throw new TesseraError('TESSERA_USAGE', `the request ${command} has more than ${MAX_BYTES / 1024} KiB`, {
      hint: 'name fewer or shorter things in it',
    });
  let timer: NodeJS.Timeout | undefined;
  let subscribed: Promise<Unsubscribe> | undefined;
  try {
    const reply = await new Promise<z.infer<typeof response>>((resolve, reject) => {
      timer = setTimeout(() => reject(unanswered(command)), timeoutMs);
      const take = (message: Message): void => {
        const read = response.safeParse(jsonOf(message));
        if (read.success && read.data.transaction === transaction) resolve(read.data);
      };
      subscribed = bus.subscribe(topics.response(command), 1, take);
      subscribed
        .then(() => bus.publish(topics.request(command), asked, { qos: 1 }))
        .catch((error: unknown) => reject(refused(command, error)));
    });
    if (reply.status === 'ok') return parse(answer, reply.data, 'TESSERA_MESSAGE_INVALID', `answer to ${command}`);
    const code = Object.hasOwn(ERROR_CODES, reply.code ?? '') ? (reply.code as ErrorCode) : 'TESSERA_INTERNAL';
    throw new TesseraError(code, reply.error ?? 'it failed', reply.hint === undefined ? {} : { hint: reply.hint });
  } finally {
    clearTimeout(timer);
    // Not awaited: where the broker has gone, it stands and ends later.
    void subscribed?.then((unsubscribe) => unsubscribe()).catch(() => {});
  }
}

const BROKER_ANSWERS =
  'only the built-in broker keeps credentials (`tessera broker`, `tessera up --listen`); see also `tessera acl`';
const CENTRAL_ANSWERS = 'central answers this: start one with `tessera central` or `tessera up`';

const unanswered = (command: string): TesseraError =>
  new TesseraError('TESSERA_BROKER', `no process at this broker answers the request ${command}`, {
    hint: /^(node-readmit|deploy|profile|tune|measure-.*)$/.test(command) ? CENTRAL_ANSWERS : BROKER_ANSWERS,
  });

const refused = (command: string, cause: unknown): TesseraError =>
  new TesseraError('TESSERA_BROKER', `the broker does not take the request ${command} from this connection`, {
    hint: "ask on the broker's own machine, or give --user and --password-file of an admin",
    cause,
  });

function readJson<T>(message: Message, schema: z.ZodType<T>, what: string): T {
  return parse(schema, jsonOf(message), 'TESSERA_MESSAGE_INVALID', what);
}

/** The JSON value of a message; undefined where it is none, or too long. */
function jsonOf({ payload }: Message): unknown {
  if (payload.byteLength > MAX_BYTES) return undefined;
  try {
    return JSON.parse(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString('utf8'));
  } catch {
    return undefined;
  }
}
