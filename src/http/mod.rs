//! HTTP: routes, JSON types, the error table, Socket.IO, pages, OpenAPI. Holds the session handle only.
