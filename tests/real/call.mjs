// Calls as node makes them. The first listener leads to one service, the second to all that are named.
import http from "node:http";
import http2 from "node:http2";
import net from "node:net";

const [bound, named] = process.argv.slice(2);

async function fetched(path, request) {
  const answer = await fetch(`http://127.0.0.1:${bound}${path}`, request);
  console.log("fetch", answer.status, (await answer.text()).trim());
}

function requested(agent, path, body) {
  return new Promise((resolve, reject) => {
    const to = { host: "127.0.0.1", port: named, path, method: "POST", agent, headers: { host: "orders" } };
    const request = http.request(to, (answer) => {
      const parts = [];
      answer.on("data", (part) => parts.push(part));
      answer.on("end", () => resolve([answer.statusCode, Buffer.concat(parts).toString()]));
    });
    request.on("error", reject);
    request.end(body);
  });
}

function overHttp2(session, path, body) {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ":method": "POST", ":path": path, ":authority": "orders" });
    const parts = [];
    let status;
    stream.on("response", (head) => (status = head[":status"]));
    stream.on("data", (part) => parts.push(part));
    stream.on("end", () => resolve([status, Buffer.concat(parts).toString()]));
    stream.on("error", reject);
    stream.end(body);
  });
}

await fetched("/node");
await fetched("/node", { method: "POST", body: "pears" });
// A body of unknown length, while it is made.
const stream = new ReadableStream({
  start(to) {
    for (const part of ["ap", "pl", "es"]) to.enqueue(new TextEncoder().encode(part));
    to.close();
  },
});
await fetched("/node", { method: "POST", body: stream, duplex: "half" });

const agent = new http.Agent({ keepAlive: true, maxSockets: 4 });
const many = [...Array(50).keys()].map((n) => requested(agent, "/node/many", `${n}`));
const same = (await Promise.all(many)).filter(([status, body], n) => status === 200 && body === `${n}`);
console.log("http", same.length);
agent.destroy();

const session = http2.connect("http://orders", { createConnection: () => net.connect(named, "127.0.0.1") });
const streams = [...Array(50).keys()].map((n) => overHttp2(session, "/node/h2", `${n}`));
const told = (await Promise.all(streams)).filter(([status, body], n) => status === 200 && body === `${n}`);
console.log("http2", told.length);
session.close();
