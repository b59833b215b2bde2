/* SPDX-License-Identifier: Apache-2.0 */
/* A YAML document as a reply. */
#ifndef FELHOM_YAML_DOCUMENT_H
#define FELHOM_YAML_DOCUMENT_H

struct reply;
struct request;

/* Answers with the document in reply->body and its entity tag; with 304 where If-None-Match says
 * that the caller has it. */
void yaml_document_answer(const struct request *request, struct reply *reply);

#endif
