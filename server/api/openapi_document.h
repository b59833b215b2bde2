/* SPDX-License-Identifier: Apache-2.0 */
/* schema/openapi.yaml as built in. */
#ifndef FELHOM_OPENAPI_DOCUMENT_H
#define FELHOM_OPENAPI_DOCUMENT_H

extern const char openapi_document[];

#endif
