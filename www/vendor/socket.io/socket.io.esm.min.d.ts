// What the page uses of the Socket.IO client, with this server's events. The client's own types are not vendored.

import type { SocketEvents } from 'realsense-webrtc/api';

/** Events that the client itself tells of. */
interface OwnEvents {
  connect: undefined;
  disconnect: string;
  connect_error: Error;
}
type Events = SocketEvents & OwnEvents;

export interface Options {
  path?: string;
  transports?: ('websocket' | 'polling')[];
  /** Milliseconds. */
  reconnectionDelay?: number;
  /** Milliseconds. */
  reconnectionDelayMax?: number;
  auth?: { token: string };
  query?: { token: string };
  autoConnect?: boolean;
}

export interface Socket {
  /** Whether it is connected, or tries to be. */
  readonly active: boolean;
  auth?: { token: string };
  readonly io: { readonly opts: Options };
  on<Name extends keyof Events>(event: Name, act: (detail: Events[Name]) => void): void;
  connect(): void;
  disconnect(): void;
}

export function io(options: Options): Socket;
