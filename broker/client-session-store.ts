import { TesseraError } from '../shared/errors.ts';
import { z } from '../shared/schema.ts';
import { MessageStore, type OnFault, type StoreKind } from './message-store.ts';
import type { QueuedMessage, Watcher } from './persistent-session.ts';

/**
 * Sessions of clients (client-sessions.ts) on disk, all in one message store (message-store.ts). Each session has a
 * number, which its records carry in place of a packet identifier:
 *
 *   topic empty   the facts of the session, as JSON; the newest record counts
 *   otherwise     a queued message; it is marked before it is sent, and when it was acknowledged or dropped
 *
 * Records that cannot be written are in memory only, which is logged: no message is refused because of a session.
 */

/** The facts of a session. */
export interface SessionFacts {
  readonly id: string;
  /** The user as `describeIdentity` writes it. */
  readonly owner: string;
  readonly subscriptions: readonly { readonly topic: string; readonly qos: number }[];
  /** When its client disconnected, Unix ms; absent while it is connected. */
  readonly awaySince?: number | undefined;
}

/** A session of an earlier run, with its queued messages. */
export interface FoundSession extends SessionFacts {
  readonly stored: StoredSession;
  readonly messages: readonly FoundMessage[];
}

/** A queued message; `number` is that of its record. */
export interface FoundMessage {
  readonly number: number;
  readonly topic: string;
  readonly payload: Buffer;
  /** Whether the client may have received it. */
  readonly wasSent: boolean;
}

/** A session expires an hour after its client disconnected, but a connected client may be silent for weeks. */
const SESSIONS: StoreKind = {
  one: 'record of a session',
  what: 'sessions of clients',
  refused: 'messages for an absent client cannot be written to disk: they are in memory only, and lost with the broker',
  hint: 'set STATE_DIRECTORY to a folder that this user may write',
  staleMs: 30 * 24 * 3600 * 1000,
};
/** Facts above this size are in memory only. */
const MAX_FACTS_BYTES = 64 * 2 ** 10;
const MAX_SESSION = 65_535;

const facts = z.object({
  id: z.string(),
  owner: z.string(),
  subscriptions: z.array(z.object({ topic: z.string(), qos: z.number().int().min(0).max(2) })),
  awaySince: z.number().optional(),
});

/** The store of all sessions. */
export class ClientSessionStore {
  readonly #store: MessageStore;
  readonly #onFault: OnFault;
  readonly #used = new Set<number>();
  #lastRecord = 0;
  #lastSession = 0;

  private constructor(store: MessageStore, onFault: OnFault) {
    this.#store = store;
    this.#onFault = onFault;
  }

  /**
   * Opens the store in `folder` with the sessions in it: at most `sessions`, with messages of `bytes` in all. Undefined
   * where the folder cannot be made, which is logged.
   */
  static open(
    folder: string,
    { sessions, bytes }: { readonly sessions: number; readonly bytes: number },
    onFault: OnFault,
  ): { store: ClientSessionStore; found: FoundSession[] } | undefined {
    try {
      const { store, found } = MessageStore.open(folder, bytes + sessions * MAX_FACTS_BYTES, onFault, SESSIONS);
      const opened = new ClientSessionStore(store, onFault);
      return { store: opened, found: opened.#read(found) };
    } catch (error) {
      if (!(error instanceof TesseraError)) throw error;
      onFault(`${error.message}; sessions are in memory only, and lost with the broker`, undefined);
      return undefined;
    }
  }

  /** A new session. */
  begin(): StoredSession {
    do this.#lastSession = (this.#lastSession % MAX_SESSION) + 1;
    while (this.#used.has(this.#lastSession));
    return this.session(this.#lastSession);
  }

  /** The session of a number. */
  session(number: number): StoredSession {
    this.#used.add(number);
    return new StoredSession(this, number);
  }

  /** Writes a record of a session; returns its number, undefined where the disk is full. */
  put(session: number, topic: string, payload: Buffer): number | undefined {
    this.#lastRecord += 1;
    const record = { number: this.#lastRecord, time: Date.now(), messageId: session, topic, payload };
    return this.#store.put(record) ? record.number : undefined;
  }

  /** Marks a record as sent. */
  sent(record: number): void {
    this.#store.sent(record);
  }

  /** Marks a record as done. */
  done(record: number): void {
    this.#store.done(record);
  }

  /** Logs what is not written. */
  fault(text: string): void {
    this.#onFault(text, undefined);
  }

  /** Frees the number of a session that ended. */
  forget(session: number): void {
    this.#used.delete(session);
  }

  /** Closes the files; their records stay. */
  close(): void {
    this.#store.close();
  }

  #read(found: ReturnType<typeof MessageStore.open>['found']): FoundSession[] {
    this.#lastRecord = found.at(-1)?.number ?? 0;
    const known = new Map<number, { readonly record: number; readonly facts: SessionFacts }>();
    const open = found.filter(({ state }) => state !== 'done');
    for (const { messageId, payload, number } of open.filter((record) => record.topic === '')) {
      const said = factsOf(payload);
      const before = known.get(messageId);
      if (before !== undefined) this.done(before.record);
      if (said === undefined) this.done(number);
      else known.set(messageId, { record: number, facts: said });
    }
    const messages = new Map<number, FoundMessage[]>();
    for (const { messageId, topic, payload, number, state } of open) {
      if (topic === '') continue;
      // The broker died while it ended this session.
      if (!known.has(messageId)) this.done(number);
      const waiting = messages.get(messageId) ?? [];
      waiting.push({ number, topic, payload, wasSent: state === 'sent' });
      messages.set(messageId, waiting);
    }
    return [...known].map(([number, { record, facts: said }]) => {
      const stored = this.session(number);
      stored.found(record, said);
      return { ...said, stored, messages: messages.get(number) ?? [] };
    });
  }
}

/** One session on disk. */
export class StoredSession implements Watcher {
  readonly #store: ClientSessionStore;
  readonly #number: number;
  /** Record numbers of messages by their number at the broker. */
  readonly #records = new Map<number, number>();
  #facts: string | undefined;
  #factsRecord: number | undefined;
  #isWritten = false;

  constructor(store: ClientSessionStore, number: number) {
    this.#store = store;
    this.#number = number;
  }

  /** Adopts the record of the facts, which exists already. */
  found(record: number, said: SessionFacts): void {
    this.#factsRecord = record;
    this.#facts = JSON.stringify(said);
    this.#isWritten = true;
  }

  /** Writes the facts, where they changed. */
  write(said: SessionFacts): void {
    const { id, owner, subscriptions, awaySince } = said;
    const text = JSON.stringify({ id, owner, subscriptions, awaySince });
    if (this.#isWritten && this.#facts === text) return;
    this.#facts = text;
    this.#writeFacts();
  }

  /** Writes a message before it is queued. */
  put({ brokerCounter, topic, payload }: QueuedMessage): void {
    // It was not written, because the disk was full.
    if (!this.#isWritten) this.#writeFacts();
    const record = this.#isWritten ? this.#store.put(this.#number, topic, payload) : undefined;
    if (record !== undefined) this.#records.set(brokerCounter, record);
  }

  /** Adopts the record of a message, which exists already. */
  adopt(brokerCounter: number, record: number): void {
    this.#records.set(brokerCounter, record);
  }

  sent(brokerCounter: number): void {
    const record = this.#records.get(brokerCounter);
    if (record !== undefined) this.#store.sent(record);
  }

  done(brokerCounter: number): void {
    const record = this.#records.get(brokerCounter);
    if (record === undefined) return;
    this.#records.delete(brokerCounter);
    this.#store.done(record);
  }

  /** Marks all records of the session as done. */
  end(): void {
    for (const brokerCounter of [...this.#records.keys()]) this.done(brokerCounter);
    if (this.#factsRecord !== undefined) this.#store.done(this.#factsRecord);
    this.#factsRecord = undefined;
    this.#store.forget(this.#number);
  }

  #writeFacts(): void {
    this.#isWritten = false;
    if (this.#facts === undefined) return;
    const bytes = Buffer.from(this.#facts);
    if (bytes.length > MAX_FACTS_BYTES) {
      this.#store.fault(`subscriptions of more than ${MAX_FACTS_BYTES / 1024} KiB are in memory only`);
      return;
    }
    const record = this.#store.put(this.#number, '', bytes);
    if (record === undefined) return;
    if (this.#factsRecord !== undefined) this.#store.done(this.#factsRecord);
    this.#factsRecord = record;
    this.#isWritten = true;
  }
}

function factsOf(payload: Buffer): SessionFacts | undefined {
  try {
    return facts.parse(JSON.parse(payload.toString()));
  } catch {
    return undefined;
  }
}
