/** One comm `nbllm.control`: news from a kernel, and answers to questions (nbllm/notebook/control.py). */
import { Kernel } from '@jupyterlab/services';
import { JSONObject, JSONValue, PromiseDelegate } from '@lumino/coreutils';
import { Status } from './model';

const TARGET = 'nbllm.control';
/** For the kernel to make a subshell; without one, answers come when the cell has ended. */
const SUBSHELL_MS = 2000;

/** What JupyterLab's comms have since 4.4, beyond their public type. */
type Comm = Kernel.IComm & { subshellId?: string | null; subshellStarted?: Promise<void> };

interface Message {
  status?: Status;
  gone?: boolean;
  id?: number;
  answer?: JSONValue;
  error?: string;
}

export interface Listener {
  /** What the engine does has changed. */
  status: (status: Status) => void;
  /** There is no nbllm in the kernel, or no more. */
  gone: () => void;
}

export class Channel {
  private readonly waiting = new Map<number, PromiseDelegate<JSONValue>>();
  private count = 0;

  private constructor(
    private readonly comm: Comm,
    private readonly listener: Listener
  ) {
    comm.onMsg = message => this.receive(message.content.data as unknown as Message);
    // the kernel closes what it does not know
    comm.onClose = () => listener.gone();
  }

  /** Open one; the first status follows at once. period: milliseconds between two at least. */
  static async open(
    kernel: Kernel.IKernelConnection,
    period: number,
    listener: Listener
  ): Promise<Channel> {
    await kernel.info;
    const comm: Comm = kernel.createComm(TARGET);
    if (kernel.supportsSubshells) {
      await Promise.race([comm.subshellStarted, delay(SUBSHELL_MS)]);
    }
    const channel = new Channel(comm, listener);
    comm.open({ period: period / 1000 });
    return channel;
  }

  /** Whether `kernel` has one from before this page was loaded. */
  static async isKnown(kernel: Kernel.IKernelConnection): Promise<boolean> {
    const { content } = await kernel.requestCommInfo({ target_name: TARGET });
    return content.status === 'ok' && Object.keys(content.comms).length > 0;
  }

  /** Whether questions are answered while a cell runs. */
  get besideCells(): boolean {
    return Boolean(this.comm.subshellId);
  }

  /** The kernel's answer; rejects with its error, or if it goes away before. */
  ask(name: string, details: JSONObject = {}): Promise<JSONValue> {
    const reply = new PromiseDelegate<JSONValue>();
    const id = ++this.count;
    this.waiting.set(id, reply);
    this.comm.send({ id, ask: name, ...details });
    return reply.promise;
  }

  /** Nothing more will be answered. */
  end(): void {
    this.waiting.forEach(reply => reply.reject(new Error('nbllm was unloaded')));
    this.waiting.clear();
    this.comm.dispose();
  }

  private receive({ status, gone, id, answer, error }: Message): void {
    if (status) {
      this.listener.status(status);
    }
    if (gone) {
      this.listener.gone();
    }
    const reply = id === undefined ? undefined : this.waiting.get(id);
    this.waiting.delete(id ?? 0);
    if (error === undefined) {
      reply?.resolve(answer ?? null);
    } else {
      reply?.reject(new Error(error));
    }
  }
}

export function delay(milliseconds: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, milliseconds));
}
