import type { Effect, OpenFrameEffect, PartWay, PublishEffect, WorkEffect } from '../../central/coordinator/effects.ts';
import type { Event } from '../../central/coordinator/events.ts';
import type { CoordinatorOptions } from '../../central/coordinator/options.ts';
import type { Snapshot } from '../../central/coordinator/snapshot.ts';
import { sectionCount } from '../../shared/model/sections.ts';
import type { SchedulablePlan } from '../../shared/plan/compiled-plan.ts';
import { CENTRAL, type Stage, type Tier } from '../../shared/plan/plan.ts';
import { assert } from './assert.ts';
import { RegionsInvariants } from './regions-invariants.ts';

/** Checks the coordinator's numbered invariants (coordinator.ts) from outside: events in, effects out, nothing else. */
export class Invariants {
  readonly #options: CoordinatorOptions;
  readonly #facts = new Map<string, SchedulablePlan>();
  /** Bytes of the largest region that a part of any plan reads of another. */
  #largest = 0;
  readonly #frames = new Map<
    string,
    {
      model: string;
      bytes: number;
      openedAt: number;
      plan: string;
      published: boolean;
      /** Where its own tensors are, and where they are on their way to. */
      at: string;
      to: string;
      /** Nodes that read it from its topic, and their boot ids. */
      copies: Map<string, string>;
      /** Exits that were not confident. */
      passed: Set<number>;
      /** What it finishes with; undefined while it runs. */
      exit: string | null | undefined;
      /** The frame that it is a section of. */
      sectionOf: string | undefined;
    }
  >();
  /** Accepted frames with sections: how many were opened and released, and whether all of these were complete and trusted. */
  readonly #sectioned = new Map<
    string,
    { count: number; opened: number; released: number; complete: boolean; openedAt: number }
  >();
  /** By ref, the node where a frame was born. */
  readonly #born = new Map<string, string>();
  readonly #ended = new Set<string>();
  /** Plans that were added and not retired. */
  readonly #plans = new Set<string>();
  readonly #payloads = new Map<string, number>();
  readonly #freed = new Set<string>();
  readonly #nodes = new Map<string, { online: boolean; bootId: string; tier: Tier }>();
  /** By node and plan: the requested stages, and those that the node has reported ready since. */
  readonly #prepared = new Map<string, { asked: Set<number>; usable: Set<number> }>();
  /** Requests without an answer, of open frames, and the ways of their regions. */
  readonly #unanswered = new Map<string, PartWay | undefined>();
  /** The way of the request that the event answers; null where it answers none. */
  #answered: PartWay | undefined | null = null;
  /** Whether, before that event, some of what its part had made was nowhere. */
  #wasGone = false;
  readonly #regions = new RegionsInvariants();
  /** By i_id/stage/t_id: who made the regions that move to central or are there. */
  readonly #accepted = new Map<string, string>();
  /** Of these, whose regions are at central. */
  readonly #moved = new Set<string>();
  /** Of these, whose node was left out since; none of them may be in a frame that ends well. */
  readonly #tainted = new Set<string>();
  readonly #audits = new Set<string>();
  readonly #out = new Map<string, string>();
  #from = '';
  #event: Event['type'] = 'timer';
  /** Left out, and restarted since. */
  readonly #mayReturn = new Set<string>();
  #openBytes = 0;
  #timerAt: number | undefined;
  #now = 0;
  #drained = false;
  #phase: 'running' | 'draining' | 'stopped' = 'running';

  constructor(options: CoordinatorOptions) {
    this.#options = options;
  }

  /** Throws an Error that names the invariant which these effects break. */
  check(event: Event, effects: readonly Effect[], snapshot: Snapshot): void {
    this.#now = Math.max(this.#now, event.at);
    this.#event = event.type;
    this.#before(event);
    let handled = 0;
    for (const effect of effects) {
      if (effect.type === 'move-regions' && event.type === 'part-result') {
        this.#from = event.node;
        const { out } = this.#facts.get(event.plan)!.stages[event.stage]!.parts[event.t_id]!;
        const asked = this.#answered?.out.filter(({ to }) => to.includes(CENTRAL)) ?? out;
        assert(
          effect.tensors.join() === asked.map(({ tensor }) => tensor).join(),
          '13: other regions move than were to come along',
        );
      }
      if (
        (event.type === 'part-result' || event.type === 'regions-arrived') &&
        (effect.type === 'move-regions' || effect.type === 'discard' || effect.type === 'compare')
      ) {
        assert(effect.handle === event.handle, '4: another handle is named than the one that came');
        handled++;
      }
      this.#effect(effect);
    }
    if (event.type === 'part-result' || event.type === 'regions-arrived')
      assert(
        handled === (event.handle === undefined ? 0 : 1),
        `4: the handle of a ${event.type} was answered ${handled} times`,
      );
    this.#regions.check();
    this.#after(snapshot);
  }

  /** Checks what must hold when no frame is open any more. */
  checkAtEnd(): void {
    assert(this.#frames.size === 0, `1: ${this.#frames.size} frames never ended`);
    assert(this.#sectioned.size === 0, `1: ${this.#sectioned.size} frames with sections never ended`);
    assert(this.#audits.size === 0, `10: ${this.#audits.size} audits never ended`);
    for (const ref of this.#payloads.keys()) assert(this.#freed.has(ref), `4: payload ${ref} was never freed`);
  }

  /** The tensor of the exit of a frame's stage, if it has one. */
  exitOf(i_id: string, stage: number): string | undefined {
    return this.#facts.get(this.#frames.get(i_id)?.plan ?? '')?.plan.stages[stage]?.exit?.tensor;
  }

  #before(event: Event): void {
    switch (event.type) {
      case 'plan':
        this.#facts.set(event.facts.plan.id, event.facts);
        for (const { parts } of event.facts.stages)
          for (const { bytes } of parts.flatMap(({ links }) => links)) this.#largest = Math.max(this.#largest, bytes);
        return;
      case 'frame-offered':
        this.#payloads.set(event.ref, event.bytes);
        if (event.born !== undefined) this.#born.set(event.ref, event.born);
        return;
      case 'node-online': {
        const known = this.#nodes.get(event.node);
        if (event.node === 'central') return;
        if (known?.online && known.bootId !== event.boot_id) this.#forget(event.node);
        if (this.#out.get(event.node) !== event.boot_id) this.#mayReturn.add(event.node);
        this.#nodes.set(event.node, { online: true, bootId: event.boot_id, tier: event.tier });
        return;
      }
      case 'node-readmitted':
        if (this.#out.has(event.node)) this.#mayReturn.add(event.node);
        return;
      case 'node-offline': {
        const node = this.#nodes.get(event.node);
        if (node !== undefined) node.online = false;
        if (event.node !== 'central') this.#forget(event.node);
        return;
      }
      case 'node-ready': {
        const known = this.#prepared.get(`${event.node} ${event.plan}`);
        if (known !== undefined && (event.node === 'central' || this.#nodes.get(event.node)?.online))
          known.usable = new Set(known.asked);
        return;
      }
      case 'part-result':
        this.#answered = this.#unanswered.has(requestKey(event)) ? this.#unanswered.get(requestKey(event)) : null;
        this.#unanswered.delete(requestKey(event));
        if (this.#answered === null) return;
        this.#wasGone = this.#isGone(event);
        this.#regions.made(event, this.#answered);
        return;
      case 'part-error':
        // An answer `unknown-plan` to a request means that the node has lost the plan; without a request it is ignored.
        if (this.#unanswered.delete(requestKey(event)) && event.code === 'unknown-plan') {
          this.#prepared.delete(`${event.node} ${event.plan}`);
          for (const [i_id, { plan }] of this.#frames) if (plan === event.plan) this.#regions.lost(event.node, i_id);
        }
        return;
      case 'regions-missing':
        this.#regions.missing(event);
        return;
      case 'regions-moved': {
        const key = `${event.i_id} ${event.stage} ${event.t_id}`;
        const frame = this.#frames.get(event.i_id);
        const moved = frame === undefined ? [] : this.#regions.moved(event);
        if (event.ok && this.#accepted.has(key)) this.#moved.add(key);
        if (!event.ok && !this.#moved.has(key)) this.#accepted.delete(key);
        const exit = this.exitOf(event.i_id, event.stage);
        if (event.exit !== true && exit !== undefined && moved.includes(exit)) frame!.passed.add(event.stage);
        return;
      }
      case 'frame-opened': {
        const frame = this.#frames.get(event.i_id);
        if (frame === undefined) return;
        frame.at = frame.to;
        for (const node of event.copies ?? []) frame.copies.set(node, this.#nodes.get(node)?.bootId ?? '');
        return;
      }
      case 'timer':
        this.#timerAt = undefined;
        return;
      case 'drain':
        if (this.#phase === 'running') this.#phase = 'draining';
        return;
      case 'stop':
        this.#phase = 'stopped';
    }
  }

  #openSection(i_id: string, { frame_id, number, layout }: NonNullable<OpenFrameEffect['section']>): void {
    const known = this.#sectioned.get(frame_id);
    assert(known !== undefined || i_id === frame_id, '1: a frame has not the i_id of its first section');
    assert(!this.#ended.has(frame_id) || known !== undefined, `1: a section of ${frame_id} is opened after its end`);
    const sectioned = known ?? {
      count: sectionCount(layout),
      opened: 0,
      released: 0,
      complete: true,
      openedAt: this.#now,
    };
    this.#sectioned.set(frame_id, sectioned);
    assert(number === sectioned.opened++, `1: section ${number} of ${frame_id} is opened out of turn`);
  }

  /** Whether a section that is released ran to its end, with results of nodes that are not left out alone. */
  #isComplete(i_id: string, { plan, exit }: { plan: string; exit: string | null | undefined }): boolean {
    if (exit === undefined || [...this.#tainted].some((key) => key.startsWith(`${i_id} `))) return false;
    if (exit !== null) return true;
    try {
      this.#regions.isComplete(i_id, this.#facts.get(plan)!);
      return true;
    } catch {
      return false;
    }
  }

  #endSectioned({ i_id, outcome, failure, sections }: PublishEffect): void {
    const sectioned = this.#sectioned.get(i_id);
    assert(sectioned !== undefined, `1: frame ${i_id} is published twice or was never opened`);
    this.#sectioned.delete(i_id);
    const { count, opened, released, complete, openedAt } = sectioned!;
    assert(sections === count, `1: ${i_id} has ${count} sections, and ${sections} are published`);
    assert(opened === released, `1: ${i_id} is published while sections of it are open`);
    assert((failure !== undefined) === (outcome === 'error'), '1: an error says why, others do not');
    assert(outcome === 'error' || opened === count, `1: ${i_id} ends ${outcome} with ${opened} of ${count} sections`);
    assert(outcome !== 'ok' || complete, `13: ${i_id} ends ok with a section that is not complete`);
    assert(
      this.#now <= openedAt + 2 * this.#options.hard_limit_ms,
      `7: ${i_id} was open for longer than the hard limit`,
    );
  }

  #forget(node: string): void {
    for (const key of this.#prepared.keys()) if (key.startsWith(`${node} `)) this.#prepared.delete(key);
  }

  #effect(effect: Effect): void {
    switch (effect.type) {
      case 'plan-added':
        assert(!this.#plans.has(effect.plan), `12: plan ${effect.plan} is added twice`);
        this.#plans.add(effect.plan);
        return;
      case 'prepare': {
        assert(this.#plans.has(effect.plan.id), `12: plan ${effect.plan.id} is prepared and was not added`);
        const key = `${effect.node} ${effect.plan.id}`;
        const known = this.#prepared.get(key);
        this.#prepared.set(key, { asked: new Set(effect.stages), usable: known?.usable ?? new Set() });
        assert(
          effect.node === 'central' || this.#nodes.get(effect.node)?.online === true,
          '5: an offline node is asked to prepare',
        );
        return;
      }
      case 'release-plan':
        this.#prepared.delete(`${effect.node} ${effect.plan}`);
        return;
      case 'plan-active':
        assert(this.#plans.has(effect.plan), `12: plan ${effect.plan} is active and was not added`);
        return;
      case 'plan-retired':
        assert(this.#plans.delete(effect.plan), `12: plan ${effect.plan} is retired and was not added`);
        for (const frame of this.#frames.values())
          assert(frame.plan !== effect.plan, '2: a plan is retired while a frame uses it');
        return;
      case 'open-frame': {
        const { section } = effect;
        const isNew = section === undefined || !this.#sectioned.has(section.frame_id);
        assert(this.#phase === 'running' || !isNew, '1: a frame is accepted while draining');
        assert(this.#phase !== 'stopped', '1: a section is opened after the stop');
        assert(this.#plans.has(effect.plan), `12: a frame begins with plan ${effect.plan}, which was not added`);
        assert(!this.#frames.has(effect.i_id) && !this.#ended.has(effect.i_id), `1: i_id ${effect.i_id} is used twice`);
        assert(this.#payloads.has(effect.ref) && !this.#freed.has(effect.ref), '4: a freed payload is to be decoded');
        const bytes = this.#facts.get(effect.plan)!.frame_bytes;
        const { model, plan } = effect;
        this.#frames.set(effect.i_id, {
          model,
          bytes,
          openedAt: this.#now,
          plan,
          published: false,
          at: '',
          copies: new Map(),
          to: effect.at,
          passed: new Set(),
          exit: undefined,
          sectionOf: section?.frame_id,
        });
        this.#openBytes += bytes;
        if (section !== undefined) this.#openSection(effect.i_id, section);
        assert(
          effect.at === CENTRAL || effect.at === this.#born.get(effect.ref),
          `15: ${effect.i_id} is to be opened at ${effect.at}, where it was not born`,
        );
        return;
      }
      case 'take-frame': {
        this.#runs(effect);
        const frame = this.#frames.get(effect.i_id)!;
        assert(frame.to !== CENTRAL, `15: ${effect.i_id} is taken to central twice`);
        frame.to = CENTRAL;
        return;
      }
      case 'skip-frame':
        assert(!this.#freed.has(effect.ref), '4: a frame is skipped after its payload was freed');
        return;
      case 'free-payload':
        assert(this.#payloads.has(effect.ref), '4: an unknown payload is freed');
        assert(!this.#freed.has(effect.ref), '4: a payload is freed twice');
        this.#freed.add(effect.ref);
        return;
      case 'publish': {
        if (effect.sections !== undefined) {
          this.#endSectioned(effect);
          return;
        }
        const frame = this.#frames.get(effect.i_id);
        assert(frame?.sectionOf === undefined, `1: section ${effect.i_id} is published`);
        assert(frame !== undefined && !frame.published, `1: frame ${effect.i_id} is published twice or after its end`);
        assert((effect.failure !== undefined) === (effect.outcome === 'error'), '1: an error says why, others do not');
        assert(
          (effect.outcome === 'degraded') === (effect.missing.length > 0 && effect.outcome !== 'error'),
          '1: degraded',
        );
        const exit = effect.outcome === 'error' ? null : frame!.exit;
        assert(effect.exit === exit, `9: it ends at ${effect.exit}, and finished at ${frame!.exit}`);
        // A frame that ended at an exit publishes the exit's tensor alone, so only frames without exit are checked.
        if (effect.outcome === 'ok' && effect.exit === null) {
          const parts = this.#facts.get(effect.plan)!.stages.reduce((sum, stage) => sum + stage.parts.length, 0);
          const used = Object.values(effect.tiles_per_node).reduce((sum, tiles) => sum + tiles, 0);
          assert(used === parts, `3: ${used} results were used for ${parts} parts`);
          this.#regions.isComplete(effect.i_id, this.#facts.get(effect.plan)!);
        }
        if (effect.outcome !== 'error' && effect.exit === null)
          for (const key of this.#tainted)
            assert(!key.startsWith(`${effect.i_id} `), `10: ${key} is of a node that was left out`);
        frame!.published = true;
        return;
      }
      case 'release-frame': {
        const frame = this.#frames.get(effect.i_id);
        const sectioned = this.#sectioned.get(frame?.sectionOf ?? '');
        if (sectioned === undefined)
          assert(frame?.published === true, `1: frame ${effect.i_id} is released before it is published`);
        else {
          sectioned.released++;
          sectioned.complete &&= this.#isComplete(effect.i_id, frame!);
        }
        this.#frames.delete(effect.i_id);
        this.#openBytes -= frame!.bytes;
        this.#ended.add(effect.i_id);
        for (const of of [this.#accepted, this.#tainted, this.#moved, this.#unanswered])
          for (const key of of.keys()) if (key.startsWith(`${effect.i_id} `)) of.delete(key);
        this.#regions.endFrame(effect.i_id);
        return;
      }
      case 'work':
        this.#runs(effect);
        this.#work(effect);
        return;
      case 'send':
        this.#runs(effect);
        this.#regions.send(effect);
        return;
      case 'free':
        this.#regions.free(effect.node, effect.i_ids);
        return;
      case 'node-event':
        this.#regions.heard(effect.node, effect.event);
        return;
      case 'move-regions': {
        this.#runs(effect);
        this.#regions.move(effect);
        const key = `${effect.i_id} ${effect.stage} ${effect.t_id}`;
        if (this.#event === 'regions-arrived') return;
        assert(!this.#accepted.has(key) || this.#wasGone, `3: tile ${key} is accepted twice`);
        this.#accepted.set(key, this.#from);
        this.#tainted.delete(key);
        if (effect.audit !== undefined) {
          assert(!this.#audits.has(effect.audit), `10: audit ${effect.audit} begins twice`);
          this.#audits.add(effect.audit);
        }
        return;
      }
      case 'compare':
      case 'judge':
        assert(this.#audits.has(effect.audit), `10: ${effect.type} names audit ${effect.audit}, which is over`);
        return;
      case 'audit-over':
        assert(this.#audits.delete(effect.audit), `10: audit ${effect.audit} ends twice`);
        return;
      case 'leave-out':
        assert(!this.#out.has(effect.node), `10: ${effect.node} is left out twice`);
        assert(effect.node !== 'central', '10: central leaves itself out');
        this.#out.set(effect.node, this.#nodes.get(effect.node)?.bootId ?? '');
        this.#mayReturn.delete(effect.node);
        this.#regions.lost(effect.node);
        for (const [key, node] of this.#accepted)
          if (node === effect.node) {
            this.#accepted.delete(key);
            this.#moved.delete(key);
            this.#regions.takenBack(key);
            this.#tainted.add(key);
            const [i_id, stage] = key.split(' ');
            this.#frames.get(i_id!)?.passed.delete(Number(stage));
          }
        return;
      case 'let-in':
        assert(
          this.#mayReturn.has(effect.node),
          `10: ${effect.node} is let in and was neither restarted nor readmitted`,
        );
        this.#out.delete(effect.node);
        return;
      case 'cancel':
        this.#live(effect);
        return;
      case 'fill':
        this.#runs(effect);
        for (const t_id of effect.t_ids) {
          const key = `${effect.i_id} ${effect.stage} ${t_id}`;
          this.#tainted.delete(key);
          const { out } = this.#facts.get(this.#frames.get(effect.i_id)!.plan)!.stages[effect.stage]!.parts[t_id]!;
          this.#regions.filled(key, out);
        }
        return;
      case 'finish':
        this.#runs(effect);
        this.#frames.get(effect.i_id)!.exit = effect.exit;
        assert(
          effect.exit === null ||
            ![...this.#frames.get(effect.i_id)!.passed].some(
              (stage) => this.exitOf(effect.i_id, stage) === effect.exit,
            ),
          `9: ${effect.i_id} finishes at ${effect.exit}, which was not confident`,
        );
        return;
      case 'set-timer':
        this.#timerAt = effect.at;
        return;
      case 'drained':
        assert(!this.#drained && this.#frames.size === 0, '1: drained twice or too early');
        this.#drained = true;
    }
  }

  #live(effect: { type: string; i_id: string }): void {
    const frame = this.#frames.get(effect.i_id);
    assert(frame !== undefined && !frame.published, `2: ${effect.type} names frame ${effect.i_id}, which is not open`);
  }

  #runs(effect: { type: string; i_id: string }): void {
    this.#live(effect);
    assert(
      this.#frames.get(effect.i_id)!.exit === undefined,
      `9: ${effect.type} for ${effect.i_id}, which is finishing`,
    );
  }

  #work(effect: WorkEffect): void {
    const { node, plan, stage } = effect;
    assert(effect.t_ids.length > 0 && new Set(effect.t_ids).size === effect.t_ids.length, '5: empty or doubled work');
    const frame = this.#frames.get(effect.i_id)!;
    assert(frame.plan === plan, '5: work of another plan than the frame began with');
    for (const { id, exit } of this.#facts.get(plan)!.plan.stages.slice(0, stage))
      assert(exit === undefined || frame.passed.has(id), `9: stage ${stage} begins before the exit of stage ${id}`);
    for (const t_id of effect.t_ids) this.#regions.work(effect, this.#facts.get(plan)!.stages[stage]!.parts[t_id]!);
    for (const t_id of effect.t_ids)
      assert(
        this.#isAllowed(this.#facts.get(plan)!.plan.stages[stage]!, t_id, node),
        `14: part ${t_id} of stage ${stage} gets work at ${node}, which the plan does not allow`,
      );
    const readsFrame = effect.t_ids.some((t_id) => this.#facts.get(plan)!.stages[stage]!.parts[t_id]!.reads_frame);
    assert(
      !readsFrame || frame.at === CENTRAL || frame.at === node,
      `15: ${node} gets work that reads ${effect.i_id}, which is at ${frame.at}`,
    );
    assert(
      effect.hasFrame !== true ||
        (node !== CENTRAL && (frame.at === node || frame.copies.get(node) === this.#nodes.get(node)?.bootId)),
      `15: ${node} does not have ${effect.i_id}, and gets work without it`,
    );
    const ready = this.#prepared.get(`${node} ${plan}`);
    for (const t_id of effect.t_ids)
      this.#unanswered.set(
        requestKey({ ...effect, t_id }),
        effect.ways?.find((way) => way.t_id === t_id),
      );
    assert(ready?.usable.has(stage) === true, `5: ${node} is not ready for stage ${stage} of ${plan}`);
    if (effect.audit !== undefined) assert(this.#audits.has(effect.audit), `10: work for audit ${effect.audit}`);
    if (node === 'central') return;
    assert(!this.#out.has(node), `10: ${node} was left out and gets work`);
    const known = this.#nodes.get(node);
    assert(known?.online === true, `5: ${node} is offline and gets work`);
  }

  /** Whether some of what a part of an open frame makes is nowhere. */
  #isGone({ i_id, stage, t_id }: { i_id: string; stage: number; t_id: number }): boolean {
    const parts = this.#facts.get(this.#frames.get(i_id)?.plan ?? '')?.stages[stage]?.parts;
    return parts?.[t_id] !== undefined && this.#regions.isGone(`${i_id} ${stage} ${t_id}`, parts[t_id].out);
  }

  #isAllowed({ on, fallback }: Stage, t_id: number, node: string): boolean {
    const isCentral = node === CENTRAL;
    if (fallback === 'central' ? isCentral : fallback === 'nodes' ? !isCentral : fallback.includes(node)) return true;
    if (on.parts !== undefined && on.parts[t_id] !== node) return false;
    if ('tier' in on) return (isCentral ? this.#options.tier : this.#nodes.get(node)!.tier) === on.tier;
    return on.nodes === '*' ? !isCentral || on.parts !== undefined : on.nodes.includes(node);
  }

  #after(snapshot: Snapshot): void {
    const {
      max_open,
      max_open_per_model,
      max_sectioned,
      max_open_bytes,
      max_payload_bytes,
      hard_limit_ms,
      window_bytes,
      owed_bytes,
    } = this.#options;
    let owed = 0;
    let owing = 0;
    assert(snapshot.open_frames === this.#frames.size, '6: the count of open frames is wrong');
    assert(snapshot.open_bytes === this.#openBytes, '6: the sum of open bytes is wrong');
    assert(this.#frames.size <= max_open, '6: too many open frames');
    assert(this.#sectioned.size <= max_sectioned, '6: too many frames with sections');
    const perModel = new Map<string, number>();
    for (const { model } of this.#frames.values()) perModel.set(model, (perModel.get(model) ?? 0) + 1);
    for (const open of perModel.values()) assert(open <= max_open_per_model, '6: too many open frames of a model');
    assert(this.#openBytes <= max_open_bytes || this.#frames.size === 1, '6: too many open bytes');
    assert(snapshot.payload_bytes >= 0 && snapshot.payload_bytes <= max_payload_bytes, '6: too many payload bytes');
    for (const [id, node] of Object.entries(snapshot.nodes)) {
      assert(node.unanswered_bytes >= 0, '6: credit was given back twice');
      if (id !== 'central' && node.unanswered_bytes > window_bytes)
        assert(node.unanswered === 1, `6: ${id} has more unanswered bytes than its window`);
      assert(node.owed_bytes >= 0, '6: what is owed was given back twice');
      assert(node.coming_bytes >= 0, '6: what is coming was given back twice');
      assert(node.coming_bytes <= Math.max(window_bytes, this.#largest), `6: too much is coming to ${id}`);
      if (id !== 'central') {
        if (node.owed_bytes > window_bytes) assert(node.unanswered === 1, `6: ${id} owes more than its window`);
        owed += node.owed_bytes;
        owing += node.owing;
      }
      if (node.presence !== 'online')
        assert(node.unanswered + node.queued === 0, `5: ${id} is ${node.presence} and has work`);
    }
    if (owed > owed_bytes) assert(owing === 1, '6: nodes owe more results than they may');
    for (const waiting of Object.values(snapshot.waiting)) assert(waiting <= 3 * 256, '6: too many waiting frames');
    if (this.#frames.size > 0) assert(this.#timerAt !== undefined, '7: a frame is open and no timer is set');
    for (const [i_id, { openedAt }] of this.#frames)
      assert(
        this.#timerAt === undefined || this.#timerAt <= Math.max(openedAt + hard_limit_ms, this.#now + 50),
        `7: the timer comes after the hard limit of ${i_id}`,
      );
  }
}

function requestKey(of: {
  i_id: string;
  stage: number;
  t_id: number;
  node: string;
  plan: string;
  attempt: number;
}): string {
  return [of.i_id, of.stage, of.t_id, of.node, of.plan, of.attempt].join(' ');
}
