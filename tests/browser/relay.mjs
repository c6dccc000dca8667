// A signalling relay for tests only, written from the wire contract with Socket.IO's own server: robots register, pages ask for a
// session, and what both say is passed on. It knows nothing of cameras.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Server as SocketIo } from 'socket.io';

const CLIENTS = fileURLToPath(new URL('./clients/', import.meta.url));
/** What a page sends to the robot of its session, and what goes back. */
const TO_ROBOT = ['webrtc-answer', 'switch-stream-type'];
const TO_PAGE = ['webrtc-offer', 'session-error', 'stream-type-switched', 'stream-type-switch-error'];
/** What a page sends to the robot of a device, and what every page hears. */
const TO_DEVICE = ['activate-pointcloud', 'start-device-stream', 'stop-device-stream'];
const TO_ALL = ['pointcloud-activated', 'pointcloud-error', 'device-stream-started', 'device-stream-stopped'];

export class Relay {
  /** By name. @type {Map<string, {socket: any, deviceInfo: any}>} */
  robots = new Map();
  /** @type {Map<string, {page: any, robot: any}>} */
  sessions = new Map();
  /** What robots brought to be admitted. @type {any[]} */
  brought = [];
  #servers = [];

  /** @param {{token?: string}} [options] the token that robots must bring */
  static async start({ token } = {}) {
    const relay = new Relay();
    relay.folder = mkdtempSync(path.join(tmpdir(), 'relay-'));
    relay.certificate = path.join(relay.folder, 'cert.pem');
    const key = path.join(relay.folder, 'key.pem');
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
      '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-keyout', key, '-out', relay.certificate], { stdio: 'ignore' });
    const pages = http.createServer((request, response) => relay.#page(request, response));
    const robots = https.createServer({ key: readFileSync(key), cert: readFileSync(relay.certificate) });
    relay.url = `http://127.0.0.1:${await relay.#listen(pages)}`;
    relay.robotUrl = `wss://localhost:${await relay.#listen(robots)}`;
    relay.#serve(pages, undefined, (socket) => relay.#takePage(socket));
    relay.#serve(robots, token, (socket) => relay.#takeRobot(socket));
    return relay;
  }

  async #listen(server) {
    this.#servers.push(server);
    await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
    return server.address().port;
  }

  #serve(server, token, take) {
    const io = new SocketIo(server);
    io.use((socket, next) => {
      if (token !== undefined) this.brought.push(socket.handshake.auth.token);
      next(token === undefined || socket.handshake.auth.token === token ? undefined : new Error('invalid token'));
    });
    io.on('connection', take);
    this.#servers.push(io);
  }

  #page(request, response) {
    const name = path.basename(request.url === '/' ? '/relay.html' : request.url);
    const type = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript' }[path.extname(name)];
    if (!['relay.html', 'relay.js'].includes(name)) return response.writeHead(404).end();
    return response.writeHead(200, { 'Content-Type': type }).end(readFileSync(path.join(CLIENTS, name)));
  }

  #takeRobot(socket) {
    socket.on('robot-register', ({ robotId, deviceInfo }) => {
      socket.data.name = robotId;
      this.robots.set(robotId, { socket, deviceInfo });
    });
    for (const event of TO_PAGE) socket.on(event, (data) => this.sessions.get(data.sessionId)?.page.emit(event, data));
    for (const event of TO_ALL) {
      socket.on(event, (data) => { for (const page of new Set([...this.sessions.values()].map((one) => one.page))) page.emit(event, data); });
    }
    this.#both(socket, 'page');
    socket.on('disconnect', () => { if (this.robots.get(socket.data.name)?.socket === socket) this.robots.delete(socket.data.name); });
  }

  #takePage(socket) {
    socket.on('create-session', ({ robotId, deviceId, streamTypes }) => {
      const robot = this.robots.get(robotId)?.socket;
      if (!robot) return socket.emit('session-error', { error: 'Robot not available' });
      const sessionId = crypto.randomUUID();
      this.sessions.set(sessionId, { page: socket, robot });
      return robot.emit('create-session', { sessionId, deviceId, streamTypes });
    });
    for (const event of TO_ROBOT) socket.on(event, (data) => this.sessions.get(data.sessionId)?.robot.emit(event, data));
    for (const event of TO_DEVICE) {
      socket.on(event, (data) => {
        const robot = [...this.robots.values()].find((one) => one.deviceInfo.deviceId === data.deviceId)?.socket;
        if (robot) robot.emit(event, data);
        else socket.emit('pointcloud-error', { error: 'Robot not found for device' });
      });
    }
    this.#both(socket, 'robot');
    socket.on('disconnect', () => this.#leave((session) => session.page === socket));
  }

  /** What goes both ways. */
  #both(socket, other) {
    socket.on('ice-candidate', (data) => this.sessions.get(data.sessionId)?.[other].emit('ice-candidate', data));
    socket.on('close-session', ({ sessionId }) => {
      this.sessions.get(sessionId)?.[other].emit('session-closed', { sessionId });
      this.sessions.delete(sessionId);
    });
  }

  #leave(left) {
    for (const [sessionId, session] of this.sessions) {
      if (!left(session)) continue;
      this.sessions.delete(sessionId);
      session.robot.emit('session-closed', { sessionId });
    }
  }

  /** Cuts every robot off, as a relay that is started again does. */
  cutRobots() {
    for (const { socket } of this.robots.values()) socket.conn.close();
  }

  async stop() {
    for (const server of this.#servers.reverse()) await new Promise((resolve) => { server.close(resolve); });
    rmSync(this.folder, { recursive: true, force: true });
  }
}
