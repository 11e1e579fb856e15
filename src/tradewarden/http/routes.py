"""The one route table: every call of the HTTP interface, with its permission, audit event, rate, input and answer."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any, cast

from tradewarden.acme.commands import AccountListed, AccountPage, KeyMade, MakeKey, OrderPage
from tradewarden.audit.entry import EventType as Event
from tradewarden.audit.log import RESOURCE as LOG
from tradewarden.compromised import CompromisedService, Contained
from tradewarden.http.endpoints import (
    acme,
    audit,
    ca,
    credentials,
    health,
    keys,
    oauth2,
    operations,
    revocation,
    rotations,
    secrets,
    services,
    tokens,
)
from tradewarden.http.route import Handler, Nothing, Proof, Rate, Route
from tradewarden.identity.commands import (
    Enroll,
    JoinTokenMade,
    JoinTokensListed,
    JoinTokensWithdrawn,
    ListJoinTokens,
    MakeJoinToken,
    RegisterService,
    ServiceListed,
    ServicePage,
    ServiceRegistered,
    SetNames,
    WithdrawJoinTokens,
)
from tradewarden.keys.inventory import ROOT
from tradewarden.keys.purpose import Purpose
from tradewarden.pki.cas.listing import RotateCa
from tradewarden.pki.cas.pins import SignedPins
from tradewarden.pki.credentials import IssueCredentials, RenewCredentials, RevokeCertificate
from tradewarden.secrets.commands import (
    PickVersions,
    PutSecret,
    RollbackSecret,
    SecretNames,
    SecretsPicked,
    SetSecretMetadata,
)
from tradewarden.secrets.rotation.commands import Abandoned, ListRotations, Policy, Rotated, RunRotation, SetPolicy
from tradewarden.tokens.commands import (
    IssueToken,
    RefreshToken,
    RevokeToken,
    TokenIssued,
    TokenPage,
    TokensRevoked,
    TokenValid,
)
from tradewarden.tokens.introspection import Introspection

if TYPE_CHECKING:
    from types import UnionType

    import msgspec

JWT, MTLS, VAULT = "ENABLE_JWT", "ENABLE_MTLS", "ENABLE_VAULT"


def _row(  # noqa: PLR0913  (a row is what it is)
    call: str,
    handler: object,
    permission: str,
    event: Event,
    rate: Rate,
    command: type[msgspec.Struct],
    answer: type[msgspec.Struct] | UnionType | str,
    *,
    of: str = "",
    on: str = "",
    **more: Any,  # noqa: ANN401  (the rest of a Route's fields)
) -> Route:
    """Make one row; `of` names the command's field that the call acts on, `on` the one thing that it always acts on."""
    method, path = call.split(" ")
    chosen = cast("Handler", handler)
    resource = _resource(of, on)
    summary = (chosen.__doc__ or "").partition("\n")[0]
    return Route(
        method=method,
        path=path,
        summary=summary,
        permission=permission,
        event=event,
        rate=rate,
        command=command,
        answer=answer,
        handler=chosen,
        resource=resource,
        **more,
    )


def _resource(of: str, on: str) -> Callable[[msgspec.Struct], str] | None:
    if of:
        return cast("Callable[[msgspec.Struct], str]", attrgetter(of))
    return (lambda _: on) if on else None


def _open(call: str, handler: object, answer: type[msgspec.Struct] | str, **more: Any) -> Route:  # noqa: ANN401
    return _row(call, handler, "service:view", Event.API_ACCESS, Rate.OPEN, Nothing, answer, proof=Proof.OPEN, **more)


def _signed(path: str, handler: object, permission: str, rate: Rate, **more: Any) -> Route:  # noqa: ANN401
    """Make one row that an ACME account signs (RFC 8555 section 6.2)."""
    fields = {"answer": "application/json", "proof": Proof.ACME, "feature": MTLS, **more}
    command = acme.AcmeNamed if "{" in path else acme.AcmeCall
    return _row(f"POST {path}", handler, permission, Event.CERTIFICATE, rate, command, **fields)


def _asked(call: str, handler: object, command: type[msgspec.Struct], media_type: str, **more: Any) -> Route:  # noqa: ANN401
    """Make a row of what every verifier of certificates may ask."""
    kind, rate, proof = Event.API_ACCESS, Rate.OPEN, Proof.OPEN
    return _row(call, handler, "service:view", kind, rate, command, media_type, proof=proof, feature=MTLS, **more)


def _page(call: str, handler: object, permission: str, media_type: str, **more: Any) -> Route:  # noqa: ANN401
    kind = Event.API_ACCESS
    return _row(call, handler, permission, kind, Rate.READ, Nothing, media_type, proof=Proof.OPERATOR, **more)


# fmt: off
HEALTH = (
    _open("GET /health", health.health, health.Health),
    _open("GET /health/live", health.live, health.Live),
    _open("GET /health/ready", health.ready, "application/json"),
)

SERVICES = (
    _row("POST /services", services.register, "services:manage", Event.CONFIGURATION_CHANGE, Rate.ADMIN,
         RegisterService, ServiceRegistered, of="service_name", lasting=True, errors=(409,)),
    _row("GET /services", services.listing, "services:read", Event.API_ACCESS, Rate.ADMIN,
         services.ListServices, ServicePage),
    _row("DELETE /services", services.delete, "services:manage", Event.CONFIGURATION_CHANGE, Rate.ADMIN,
         services.NamedService, services.ServiceDeleted, of="service_name", errors=(404,)),
    _row("GET /services/{service_name}", services.show, "services:read", Event.API_ACCESS, Rate.ADMIN,
         services.NamedService, ServiceListed, of="service_name", errors=(404,)),
    _row("DELETE /services/{service_name}", services.delete, "services:manage", Event.CONFIGURATION_CHANGE, Rate.ADMIN,
         services.NamedService, services.ServiceDeleted, of="service_name", errors=(404,)),
    _row("POST /services/rotate-secret", services.rotate_secret, "services:manage", Event.CONFIGURATION_CHANGE,
         Rate.ADMIN, services.NamedService, ServiceRegistered, of="service_name", lasting=True, errors=(404,)),
    _row("POST /services/permissions", services.permissions, "services:manage", Event.CONFIGURATION_CHANGE, Rate.ADMIN,
         services.SetPermissions, ServiceListed, of="service_name", errors=(404,)),
    _row("POST /services/names", services.names, "services:manage", Event.CONFIGURATION_CHANGE, Rate.ADMIN,
         SetNames, ServiceListed, of="service_name", errors=(404, 409)),
)

TOKENS = (
    _row("POST /tokens/generate", tokens.generate, "tokens:issue", Event.TOKEN, Rate.ISSUE,
         IssueToken, TokenIssued, of="service_name", lasting=True, proof=Proof.TOKEN_REQUEST, feature=JWT),
    _row("POST /tokens/validate", tokens.validate, "tokens:validate", Event.TOKEN, Rate.READ,
         Nothing, TokenValid, feature=JWT),
    _row("POST /tokens/refresh", tokens.refresh, "tokens:refresh", Event.TOKEN, Rate.ISSUE,
         RefreshToken, TokenIssued, proof=Proof.REFRESH_TOKEN, feature=JWT),
    _row("POST /tokens/revoke", tokens.revoke, "tokens:revoke", Event.TOKEN, Rate.WRITE,
         RevokeToken, TokensRevoked, proof=Proof.CLIENT, feature=JWT, errors=(404,)),
    _row("GET /tokens", tokens.listing, "tokens:read", Event.TOKEN, Rate.ADMIN,
         tokens.ListTokens, TokenPage, feature=JWT),
    _row("POST /oauth2/introspect", oauth2.introspect, "tokens:introspect", Event.TOKEN, Rate.READ,
         oauth2.TokenQuestion, Introspection, proof=Proof.CLIENT, form=True, oauth=True, feature=JWT),
    _row("POST /oauth2/revoke", oauth2.revoke, "tokens:revoke", Event.TOKEN, Rate.WRITE,
         oauth2.TokenQuestion, "", proof=Proof.CLIENT, form=True, oauth=True, feature=JWT),
    _open("GET /.well-known/jwks.json", tokens.jwks, "application/jwk-set+json", feature=JWT),
)

SECRETS = (
    _row("POST /secrets/store", secrets.store, "secrets:write", Event.SECRET_ACCESS, Rate.WRITE,
         PutSecret, secrets.SecretStored, of="path", feature=VAULT, errors=(409,)),
    _row("GET /secrets/{path...}", secrets.read, "secrets:read", Event.SECRET_ACCESS, Rate.READ,
         secrets.ReadSecret, secrets.SecretValue | secrets.MetadataShown, of="path", feature=VAULT, errors=(404,)),
    _row("GET /secrets", secrets.listing, "secrets:list", Event.SECRET_ACCESS, Rate.READ,
         secrets.ListSecrets, SecretNames, feature=VAULT),
    _row("DELETE /secrets/{path...}", secrets.delete, "secrets:delete", Event.SECRET_ACCESS, Rate.WRITE,
         secrets.DeleteSecret, SecretsPicked, of="path", feature=VAULT, errors=(404,)),
    _row("POST /secrets/undelete", secrets.undelete, "secrets:write", Event.SECRET_ACCESS, Rate.WRITE,
         PickVersions, SecretsPicked, of="path", feature=VAULT, errors=(404,)),
    _row("POST /secrets/destroy", secrets.destroy, "secrets:write", Event.SECRET_ACCESS, Rate.WRITE,
         PickVersions, SecretsPicked, of="path", feature=VAULT, errors=(404,)),
    _row("POST /secrets/rollback", secrets.rollback, "secrets:write", Event.SECRET_ACCESS, Rate.WRITE,
         RollbackSecret, secrets.SecretStored, of="path", feature=VAULT, errors=(404, 409)),
    _row("POST /secrets/metadata", secrets.metadata, "secrets:write", Event.SECRET_ACCESS, Rate.WRITE,
         SetSecretMetadata, secrets.SettingsShown, of="path", feature=VAULT, errors=(404,)),
)

ROTATIONS = (
    _row("POST /rotations/policies", rotations.set_policy, "secrets:rotate", Event.CONFIGURATION_CHANGE, Rate.ADMIN,
         SetPolicy, Policy, of="path", feature=VAULT),
    _row("GET /rotations", rotations.listing, "secrets:rotate", Event.SECRET_ACCESS, Rate.ADMIN,
         ListRotations, rotations.RotationsShown, feature=VAULT),
    _row("DELETE /rotations/policies/{path...}", rotations.remove_policy, "secrets:rotate", Event.CONFIGURATION_CHANGE,
         Rate.ADMIN, rotations.NamedPath, rotations.PolicyRemoved, of="path", feature=VAULT, errors=(404, 409)),
    _row("POST /rotations/run", rotations.run, "secrets:rotate", Event.SECRET_ACCESS, Rate.ADMIN,
         RunRotation, Rotated, of="path", feature=VAULT, errors=(404, 409)),
    _row("POST /rotations/abandon", rotations.abandon, "secrets:rotate", Event.SECRET_ACCESS, Rate.ADMIN,
         rotations.NamedPath, Abandoned, of="path", feature=VAULT, errors=(404, 409)),
    _row("POST /rotations/compromised", rotations.compromised, "secrets:rotate", Event.SECRET_ACCESS, Rate.ADMIN,
         CompromisedService, Contained, feature=VAULT, errors=(404,)),
)

CERTIFICATES = (
    _row("POST /credentials/issue", credentials.issue, "credentials:issue", Event.CERTIFICATE, Rate.ISSUE,
         IssueCredentials, credentials.CredentialsIssued, of="service_name", lasting=True, feature=MTLS),
    _row("POST /credentials/join-tokens", credentials.join_token, "credentials:issue", Event.CERTIFICATE, Rate.ADMIN,
         MakeJoinToken, JoinTokenMade, of="service_name", lasting=True, feature=MTLS),
    _row("GET /credentials/join-tokens", credentials.join_tokens, "credentials:read", Event.CERTIFICATE, Rate.ADMIN,
         ListJoinTokens, JoinTokensListed, feature=MTLS),
    _row("POST /credentials/join-tokens/withdraw", credentials.withdraw_join_tokens, "credentials:issue",
         Event.CERTIFICATE, Rate.ADMIN, WithdrawJoinTokens, JoinTokensWithdrawn, of="service_name", feature=MTLS,
         errors=(404,)),
    _row("POST /credentials/enroll", credentials.enroll, "credentials:enroll", Event.CERTIFICATE, Rate.ISSUE,
         Enroll, credentials.CredentialsIssued, proof=Proof.JOIN, feature=MTLS),
    _row("POST /credentials/renew", credentials.renew, "credentials:renew", Event.CERTIFICATE, Rate.ISSUE,
         RenewCredentials, credentials.CredentialsIssued, lasting=True, proof=Proof.RENEWAL, feature=MTLS,
         errors=(404, 409)),
    _row("GET /credentials", credentials.listing, "credentials:read", Event.CERTIFICATE, Rate.ADMIN,
         credentials.ListCredentials, credentials.CertificatePage, feature=MTLS),
    _row("GET /credentials/{serial_number}", credentials.show, "credentials:read", Event.CERTIFICATE, Rate.ADMIN,
         credentials.NamedCertificate, credentials.CertificateShown, feature=MTLS, errors=(404,)),
    _row("POST /credentials/revoke", credentials.revoke, "credentials:revoke", Event.CERTIFICATE, Rate.ADMIN,
         RevokeCertificate, credentials.CertificateShown, feature=MTLS, errors=(404,)),
    _row("GET /ca", ca.listing, "ca:read", Event.CERTIFICATE, Rate.ADMIN, Nothing, ca.CasListed, feature=MTLS),
    _row("POST /ca/rotate", ca.rotate, "ca:rotate", Event.CERTIFICATE, Rate.ADMIN,
         RotateCa, ca.CasListed, of="what", feature=MTLS, errors=(409,)),
    _open("GET /ca/pins", ca.pins, SignedPins, feature=MTLS),
    _open("GET /ca/certificate", ca.certificate, "application/x-pem-file", feature=MTLS),
    _open("GET /ca/cross-certificates", ca.cross_certificates, "application/x-pem-file", feature=MTLS),
    _open("GET /ca/crl", revocation.crl, "application/pkix-crl", feature=MTLS),
    _open("GET /ca/crls", revocation.all_crls, "application/x-pem-file", feature=MTLS),
    _asked("GET /ca/crl/{name}", revocation.named_crl, revocation.NamedList, "application/pkix-crl", errors=(404,)),
    _asked("GET /ca/issuers/{name}", revocation.issuer, revocation.NamedIssuer, "application/pkix-cert",
           errors=(404,)),
    _asked("POST /ca/ocsp", revocation.ocsp, revocation.OcspRequest, "application/ocsp-response",
           raw="application/ocsp-request"),
    _asked("GET /ca/ocsp/{request...}", revocation.ocsp_query, revocation.OcspQuery, "application/ocsp-response"),
)

ACME = (
    _open("GET /acme/directory", acme.directory, "application/json", feature=MTLS),
    _open("HEAD /acme/new-nonce", acme.nonce, "", feature=MTLS),
    _open("GET /acme/new-nonce", acme.no_content, "", feature=MTLS, status=204),
    _row("GET /acme/renewal-info/{id}", acme.renewal_info, "service:view", Event.API_ACCESS, Rate.OPEN,
         acme.NamedRenewal, "application/json", proof=Proof.OPEN, feature=MTLS, errors=(404,)),
    _signed("/acme/new-account", acme.new_account, "acme:account", Rate.ISSUE),
    _signed("/acme/account/{id}", acme.account, "acme:account", Rate.WRITE),
    _signed("/acme/key-change", acme.key_change, "acme:account", Rate.WRITE, errors=(409,)),
    _signed("/acme/orders/{id}", acme.orders_of, "acme:order", Rate.READ),
    _signed("/acme/new-order", acme.new_order, "acme:order", Rate.ISSUE),
    _signed("/acme/order/{id}", acme.order, "acme:order", Rate.READ),
    _signed("/acme/authorization/{id}", acme.authorization, "acme:order", Rate.READ),
    _signed("/acme/challenge/{id}", acme.challenge, "acme:order", Rate.WRITE),
    _signed("/acme/finalize/{id}", acme.finalize, "acme:order", Rate.ISSUE),
    _signed("/acme/certificate/{id}", acme.certificate, "acme:order", Rate.READ, answer=acme.CERTIFICATES),
    _signed("/acme/revoke-cert", acme.revoke, "acme:revoke", Rate.WRITE),
    _row("POST /acme/eab", acme.make_key, "acme:manage", Event.CERTIFICATE, Rate.ADMIN,
         MakeKey, KeyMade, of="service_name", lasting=True, feature=MTLS, errors=(404,)),
    _row("GET /acme/accounts", acme.listing, "acme:read", Event.CERTIFICATE, Rate.ADMIN,
         acme.ListAccounts, AccountPage, feature=MTLS),
    _row("POST /acme/accounts/end", acme.end, "acme:manage", Event.CERTIFICATE, Rate.ADMIN,
         acme.NamedAccount, AccountListed, feature=MTLS, errors=(404,)),
    _row("GET /acme/orders", acme.orders_listing, "acme:read", Event.CERTIFICATE, Rate.ADMIN,
         acme.ListOrders, OrderPage, feature=MTLS),
)

KEYS = (
    _row("GET /keys", keys.listing, "keys:read", Event.KEY, Rate.ADMIN, Nothing, keys.KeysShown),
    _row("POST /keys/rotate", keys.rotate, "keys:rotate", Event.KEY, Rate.ADMIN,
         keys.RotateKey, keys.KeyRotated, of="purpose"),
    _row("POST /keys/rotate-root", keys.rotate_root, "keys:rotate", Event.KEY, Rate.ADMIN,
         keys.RotateRoot, keys.KeyRotated, on=ROOT),
    _row("POST /keys/rewrap", keys.rewrap, "keys:rewrap", Event.KEY, Rate.ADMIN,
         keys.RewrapSecrets, keys.BatchRewrapped, on=Purpose.SECRETS),
)

AUDIT = (
    _row("GET /audit/events", audit.events, "audit:read", Event.API_ACCESS, Rate.ADMIN,
         audit.SearchEvents, audit.EventPage, on=LOG),
    _row("GET /audit/checkpoint", audit.checkpoint, "audit:read", Event.API_ACCESS, Rate.READ,
         Nothing, audit.CheckpointShown, on=LOG, errors=(404,)),
    _row("GET /audit/proof/inclusion", audit.inclusion, "audit:read", Event.API_ACCESS, Rate.READ,
         audit.ProveInclusion, audit.InclusionShown, on=LOG, errors=(404,)),
    _row("GET /audit/proof/consistency", audit.consistency, "audit:read", Event.API_ACCESS, Rate.READ,
         audit.ProveConsistency, audit.ConsistencyShown, on=LOG, errors=(404,)),
)

OPERATIONS = (
    _page("GET /metrics", operations.metrics, "metrics:view", "text/plain"),
    _page("GET /openapi.json", operations.openapi, "docs:view", "application/json", development_only=True),
    _page("GET /docs", operations.docs, "docs:view", "text/html", development_only=True),
    _row("GET /docs/{name}", operations.asset, "docs:view", Event.API_ACCESS, Rate.READ, operations.Asset, "text/css",
         proof=Proof.OPERATOR, development_only=True, errors=(404,)),
)

ROUTES: tuple[Route, ...] = (
    *HEALTH, *SERVICES, *TOKENS, *SECRETS, *ROTATIONS, *CERTIFICATES, *ACME, *KEYS, *AUDIT, *OPERATIONS,
)
# fmt: on


def offered(*, development: bool) -> tuple[Route, ...]:
    """Return the rows that an installation answers: outside development without those of development alone."""
    return tuple(route for route in ROUTES if development or not route.development_only)
