// @ts-check
/** A WebSocket that comes back: after half a second, then twice as long each time, up to eight. */

const FIRST = 500;
const LAST = 8000;

/**
 * @param {string} path
 * @param {{open?: () => void, message: (data: any) => void, lost?: () => void}} handlers
 */
export function lasting(path, { open, message, lost }) {
  /** @type {WebSocket | null} */
  let socket = null;
  let wait = FIRST;
  let again = 0;

  function connect() {
    clearTimeout(again);
    socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/api/${path}`);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      wait = FIRST;
      open?.();
    };
    socket.onmessage = (event) => message(event.data);
    socket.onclose = () => {
      lost?.();
      again = window.setTimeout(connect, wait);
      wait = Math.min(LAST, wait * 2);
    };
  }

  connect();
  // A laptop that wakes, or a network that is back: no need to wait.
  window.addEventListener("online", () => socket?.readyState === WebSocket.CLOSED && connect());
  return {
    /** @param {string} text @returns {boolean} whether it went */
    send(text) {
      if (socket?.readyState !== WebSocket.OPEN) return false;
      socket.send(text);
      return true;
    },
    /** Ends it for good. */
    close() {
      clearTimeout(again);
      if (socket) {
        socket.onclose = null;
        socket.close();
      }
    },
  };
}
