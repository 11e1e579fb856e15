"""pkilint as a judge: what it finds about one certificate, pair of certificates, CRL or OCSP answer (DER).

A finding is a line: its code, what pkilint says about it, and where it is. Notices count, information does not.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import TYPE_CHECKING, Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # those of its own dependencies
    from pkilint import loader, pkix  # type: ignore[import-untyped]
    from pkilint.bin import lint_pkix_signer_signee_cert_chain as pair  # type: ignore[import-untyped]
    from pkilint.pkix import certificate, crl, extension, name, ocsp  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Iterable

_HARMLESS = frozenset({"INFO", "DEBUG"})


def of_certificate(der: bytes) -> set[str]:
    """Judge a certificate by RFC 5280."""
    return _findings(_for_certificates().validate(loader.load_certificate(der, "").root))


def of_pair(issuer: bytes, subject: bytes) -> set[str]:
    """Judge whether a certificate and its issuer's fit: names, key identifiers, signature."""
    together: dict[str, Any] = {}
    for role, der in (("issuer", issuer), ("subject", subject)):
        read = loader.RFC5280CertificateDocumentLoader().load_der_document
        together[role] = read(der, substrate_source="", document_name=role, parent=together)
    decoding, upper, lower = _for_pairs()
    found: set[str] = set()
    for judge, role in ((decoding, "issuer"), (decoding, "subject"), (upper, "issuer"), (lower, "subject")):
        found |= _findings(judge.validate(together[role].root))
    return found


def of_crl(der: bytes) -> set[str]:
    """Judge a revocation list by RFC 5280."""
    return _findings(_for_crls().validate(loader.load_crl(der, "").root))


def of_ocsp(der: bytes) -> set[str]:
    """Judge an OCSP answer by RFC 6960."""
    return _findings(_for_answers().validate(loader.load_ocsp_response(der, "").root))


def _findings(results: Iterable[Any]) -> set[str]:
    return {
        f"{each.finding.code} ({each.message}) at {result.node.path}"
        for result in results
        for each in result.finding_descriptions
        if each.finding.severity.name not in _HARMLESS
    }


@cache
def _for_certificates() -> Any:  # noqa: ANN401 - pkilint is not typed
    return certificate.create_pkix_certificate_validator_container(
        certificate.create_decoding_validators(name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS),
        [
            certificate.create_issuer_validator_container([]),
            certificate.create_validity_validator_container(),
            certificate.create_subject_validator_container([]),
            certificate.create_extensions_validator_container([]),
            certificate.create_spki_validator_container([]),
        ],
    )


@cache
def _for_pairs() -> Any:  # noqa: ANN401 - as above
    decoding = pair.create_decoder_validation_container()
    return decoding, pair.create_issuer_validation_container(), pair.create_subject_validation_container()


@cache
def _for_crls() -> Any:  # noqa: ANN401 - as above
    return crl.create_pkix_crl_validator_container(
        _decoders(),
        [
            crl.create_issuer_validator_container([]),
            crl.create_validity_validator_container([]),
            crl.create_extensions_validator_container([]),
        ],
    )


@cache
def _for_answers() -> Any:  # noqa: ANN401 - as above
    return ocsp.create_pkix_ocsp_response_validator_container([ocsp.create_response_decoder(), *_decoders()], [])


def _decoders() -> list[Any]:
    return [
        pkix.create_attribute_decoder(name.ATTRIBUTE_TYPE_MAPPINGS),
        pkix.create_extension_decoder(extension.EXTENSION_MAPPINGS),
    ]
